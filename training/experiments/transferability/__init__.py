"""Does more data help ions and radicals, or do constraints? The same network, trained in six ways.

    python -m training.experiments.transferability --data DIR --features DIR --out DIR

| arm | constraints | data |
|---|---|---|
| a | none; the fraction of exact exchange at long range is a parameter | a third of train.json |
| b | none, as a | all of train.json, three times as much |
| c | soft: a and a penalty in the loss for each | the third |
| d | hard: by construction | the third |
| e | hard | the third, and fractional charges |
| f | none, as a | the third, and fractional charges |

`train.json` holds atomisation energies of neutral closed-shell molecules; no arm is given the energy of an ion.
Fractional charges are those of atoms, of half-charged molecules and of dimers that share a hole ((HF)₂, (HCl)₂, (N₂)₂,
(CO)₂, H₂O…HF), whose energies have to lie on the straight line between the functional's own end points. Every arm is
fitted with three seeds.

`arms` makes the configurations, `stored` measures at stored densities, `selfconsistent` with the functionals' own,
`report` writes the table and the figure. Whatever is finished is kept in the output folder, so that the command goes on
where it was stopped. At the end the energies of the SCF are in `energies.jsonl.gz` too, so that the folder can do
without `scf`; of a run that was stopped `mlxc bench export OUT/scf OUT/energies.jsonl.gz` writes them there.
"""
