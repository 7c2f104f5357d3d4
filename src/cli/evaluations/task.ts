/** One run of `sd eval`: its options, and what it opens. */

import type { Engine } from '../../engine/engine.ts';
import type { AdmNetwork } from '../../evaluation/adm-features.ts';
import type { FeaturesNetwork } from '../../evaluation/features.ts';
import type { PerceptualNetwork } from '../../evaluation/perceptual-network.ts';
import type { OpenAutoencoder } from '../../model/autoencoder.ts';
import type { Model } from '../../model/model.ts';
import type { Communicator } from '../../distributed/communicator.ts';
import type { CliContext } from '../command.ts';
import { distributedOptions } from '../distributed.ts';
import { engineOptions } from '../engine-options.ts';
import { flag, integer, list, type OptionValues, text } from '../options.ts';
import type { Progress } from '../progress.ts';

export const evalOptions = {
  real: text(
    ['--real', '--data', '-r'],
    'DIR',
    'real pictures: a folder, with captions in .txt files or metadata.jsonl for guidance; WebDataset shards (.tar), Parquet files, a .zip or an .npz of pictures; for adm an .npz of statistics too; for bits a folder',
  ),
  made: text(
    ['--made', '--generated', '-g'],
    'DIR',
    'generated pictures: as --real, such as an .npz of guided-diffusion or sd sample',
  ),
  models: list(
    ['--model', '--ckpt', '-m'],
    'FILE',
    'the model to measure; repeat it to compare several models in one plot',
    (given) => given,
  ),
  flags: text(['--flags'], 'TEXT', "bits: guided-diffusion's flags of the model, as in its README"),
  features: text(['--features'], 'FILE', "feature network: pytorch-fid's Inception v3, or a CLIP"),
  clip: text(['--clip'], 'FILE', 'CLIP for the CLIP score (default: the feature network, if it is a CLIP)'),
  lpips: list(
    ['--lpips'],
    'FILE',
    "LPIPS network: taming's complete file, or both VGG16 and vgg.pth",
    (given) => given,
  ),
  paper: text(
    ['--paper'],
    'NAME',
    'adm: paper whose numbers to compare with, such as imagenet256-guided, lsun-bedroom or ldm-celeba256',
  ),
  count: integer(
    ['--count', '-n'],
    'number of pictures: the first N; for guidance, N captions spread over the folder, or N prompts (default: all)',
    { min: 1 },
  ),
  size: integer(
    ['--size'],
    'side length to which pictures are resized for the autoencoder (default: that of the first picture)',
    {
      min: 8,
    },
  ),
  scales: text(['--scales'], 'X,…', 'guidance scales (default: 1.5,2,3,4,5,6,7,8)'),
  steps: integer(['--steps'], 'sampling steps (default: 50)', { min: 1, max: 1000 }),
  sampler: text(['--sampler'], 'NAME', 'sampler (default: plms)'),
  prompts: text(
    ['--prompts'],
    'FILE',
    "guidance: prompts, one per line, or COCO's captions_val2017.json; --count of them are drawn at random (default: captions of --real)",
  ),
  seed: text(['--seed'], 'N', 'seed for pictures and random subsets (default: 42)'),
  output: text(['--output', '-o'], 'DIR', 'folder for plot, JSON and grids (default: outputs/eval)'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...distributedOptions,
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  json: flag(['--json'], 'print the measures as JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof evalOptions>;

/** Inputs and resources of one evaluation; the resources are closed when it ends. */
export interface Task {
  readonly context: CliContext;
  readonly values: Values;
  readonly progress: Progress;
  readonly engine: Engine;
  /** The processes that share the work. */
  readonly communicator: Communicator;
  readonly loadModel: (path?: string) => Promise<Model>;
  readonly openAutoencoder: (path: string) => Promise<OpenAutoencoder>;
  readonly openFeatures: (path: string) => Promise<FeaturesNetwork>;
  readonly openAdmFeatures: (path: string) => Promise<AdmNetwork>;
  readonly openLpips: (paths: readonly string[]) => Promise<PerceptualNetwork>;
}
