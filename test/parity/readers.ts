/** The readers of recorded cases: one line each. They are imported when a case of their set is run. */

import type { Reader } from './reader.ts';

interface ReaderRow {
  readonly set: string;
  readonly load: () => Promise<{ readonly reader: Reader }>;
}

export const readers: readonly ReaderRow[] = [
  { set: 'networks', load: () => import('./readers/network-forward.ts') },
  { set: 'networks', load: () => import('./readers/network-extensions.ts') },
  { set: 'networks', load: () => import('./readers/lora.ts') },
  { set: 'networks', load: () => import('./readers/textual-inversion.ts') },
  { set: 'diffusion', load: () => import('./readers/analytic-checks.ts') },
  { set: 'diffusion', load: () => import('./readers/noise.ts') },
  { set: 'diffusion', load: () => import('./readers/a1111-prompts.ts') },
  { set: 'diffusion', load: () => import('./readers/infotext.ts') },
  { set: 'diffusion', load: () => import('./readers/clip-tokens.ts') },
  { set: 'diffusion', load: () => import('./readers/pictures.ts') },
  { set: 'diffusion', load: () => import('./readers/compvis-parts.ts') },
  { set: 'diffusion', load: () => import('./readers/compvis-pipelines.ts') },
  { set: 'diffusion', load: () => import('./readers/compvis-schedules.ts') },
  { set: 'diffusion', load: () => import('./readers/sigma-schedules.ts') },
  { set: 'diffusion', load: () => import('./readers/diffusers-schedules.ts') },
  { set: 'diffusion', load: () => import('./readers/compvis-samplers.ts') },
  { set: 'diffusion', load: () => import('./readers/sigma-samplers.ts') },
  { set: 'diffusion', load: () => import('./readers/a1111-timestep-samplers.ts') },
  { set: 'diffusion', load: () => import('./readers/diffusers-samplers.ts') },
  { set: 'families', load: () => import('./readers/family-networks.ts') },
  { set: 'families', load: () => import('./readers/family-conditioners.ts') },
  { set: 'families', load: () => import('./readers/family-runs.ts') },
  { set: 'families', load: () => import('./readers/family-lora.ts') },
  { set: 'control', load: () => import('./readers/upscalers.ts') },
  { set: 'control', load: () => import('./readers/a1111-upscaling.ts') },
  { set: 'control', load: () => import('./readers/a1111-merge.ts') },
  { set: 'lineage', load: () => import('./readers/adm-tables.ts') },
  { set: 'lineage', load: () => import('./readers/adm-networks.ts') },
  { set: 'lineage', load: () => import('./readers/adm-losses.ts') },
  { set: 'lineage', load: () => import('./readers/adm-data.ts') },
  { set: 'lineage', load: () => import('./readers/lucid.ts') },
  { set: 'lineage', load: () => import('./readers/lineage-parts.ts') },
  { set: 'files', load: () => import('./readers/tokenizers.ts') },
  { set: 'files', load: () => import('./readers/weight-files.ts') },
  { set: 'files', load: () => import('./readers/diffusers-folder.ts') },
  { set: 'files', load: () => import('./readers/full-size.ts') },
  { set: 'files', load: () => import('./readers/data-sets.ts') },
  { set: 'files', load: () => import('./readers/image-files.ts') },
  { set: 'training', load: () => import('./readers/operations.ts') },
  { set: 'training', load: () => import('./readers/network-gradients.ts') },
  { set: 'training', load: () => import('./readers/losses.ts') },
  { set: 'training', load: () => import('./readers/optimisers.ts') },
  { set: 'training', load: () => import('./readers/train-steps.ts') },
  { set: 'training', load: () => import('./readers/adversarial-training.ts') },
  { set: 'training', load: () => import('./readers/adapters.ts') },
  { set: 'training', load: () => import('./readers/evaluation.ts') },
  { set: 'training', load: () => import('./readers/degradation.ts') },
  { set: 'training', load: () => import('./readers/micro-training.ts') },
];
