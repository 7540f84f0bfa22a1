"""Does more data help ions and radicals, or do constraints? The same network, trained in six ways.

    python -m training.experiments.transferability --data DIR --features DIR --out DIR

| arm | constraints | data |
|---|---|---|
| a | none, and the fraction of exact exchange at long range is free | a third of train.json |
| b | none | all of train.json, three times as much |
| c | soft: penalties in the loss | the third |
| d | hard: by construction | the third |
| e | hard | the third, and fractional charges |
| f | none | the third, and fractional charges |

`train.json` holds atomisation energies of neutral closed-shell molecules; no arm sees the energy of an ion, but for its
own free atoms' and molecules' lines in e and f, where no energy is given either. Every arm is fitted with three seeds.

`arms` makes the configurations, `stored` measures at stored densities, `selfconsistent` with the functionals' own,
`report` writes the table and the figure. Whatever is finished is kept in the output folder, so that the command goes on
where it was stopped. At the end the energies of the SCF are in `energies.jsonl.gz` too, so that the folder can do
without `scf`; of a run that was stopped `mlxc bench export OUT/scf OUT/energies.jsonl.gz` writes them there.
"""
