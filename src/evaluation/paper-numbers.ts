/**
 * Numbers of papers to compare one's own with. guided-diffusion: README and table 5 of Dhariwal and Nichol 2021 (arXiv 2105.05233), its own evaluator.
 * latent-diffusion: its README's table of models (Rombach et al. 2022, arXiv 2112.10752).
 */

export interface PaperNumbers {
  readonly model: string;
  readonly source: string;
  /** How the paper sampled. */
  readonly sampling: string;
  readonly pictures: number;
  readonly steps: number;
  readonly fid: number;
  readonly sfid?: number;
  readonly inceptionScore?: number;
  readonly precision?: number;
  readonly recall?: number;
}

const adm = (
  model: string,
  [fid, sfid, precision, recall]: readonly [number, number, number, number],
  sampling: string,
  more: { readonly inceptionScore?: number; readonly steps?: number } = {},
): PaperNumbers => ({
  model,
  source: 'Dhariwal and Nichol 2021, table 5',
  sampling,
  pictures: 50_000,
  steps: 250,
  fid,
  sfid,
  precision,
  recall,
  ...more,
});

const ldm = (model: string, fid: number, steps: number, sampling: string, inceptionScore?: number): PaperNumbers => ({
  model,
  source: "latent-diffusion's README",
  sampling,
  pictures: 50_000,
  steps,
  fid,
  ...(inceptionScore === undefined ? {} : { inceptionScore }),
});

/** By the names that `--paper` takes. */
export const paperNumbers: Readonly<Record<string, PaperNumbers>> = {
  imagenet64: adm('64x64_diffusion.pt', [2.07, 4.29, 0.74, 0.63], 'DDPM, no classifier'),
  imagenet128: adm('128x128_diffusion.pt', [5.91, 5.09, 0.7, 0.65], 'DDPM, no classifier'),
  'imagenet128-guided': adm('128x128_diffusion.pt', [2.97, 5.09, 0.78, 0.59], 'DDPM, classifier scale 0.5'),
  imagenet256: adm('256x256_diffusion.pt', [10.94, 6.02, 0.69, 0.63], 'DDPM, no classifier'),
  'imagenet256-guided': adm('256x256_diffusion.pt', [4.59, 5.25, 0.82, 0.52], 'DDPM, classifier scale 1', {
    inceptionScore: 186.7,
  }),
  imagenet512: adm('512x512_diffusion.pt', [23.24, 10.19, 0.73, 0.6], 'DDPM, no classifier'),
  'imagenet512-guided': adm('512x512_diffusion.pt', [7.72, 6.57, 0.87, 0.42], 'DDPM, classifier scale 4', {
    inceptionScore: 172.71,
  }),
  'lsun-bedroom': adm('lsun_bedroom.pt', [1.9, 5.59, 0.66, 0.51], 'DDPM', { steps: 1000 }),
  'lsun-cat': adm('lsun_cat.pt', [5.57, 6.69, 0.63, 0.52], 'DDPM', { steps: 1000 }),
  'lsun-horse': adm('lsun_horse.pt', [2.57, 6.81, 0.71, 0.55], 'DDPM', { steps: 1000 }),
  'ldm-celeba256': ldm('celeba256', 5.11, 200, 'DDIM, eta 0'),
  'ldm-ffhq256': ldm('ffhq256', 4.98, 200, 'DDIM, eta 1'),
  'ldm-lsun-beds256': ldm('lsun_beds256', 2.95, 200, 'DDIM, eta 1'),
  'ldm-lsun-churches256': ldm('lsun_churches256', 4.02, 400, 'DDIM, eta 0'),
  'ldm-cin256': ldm('cin256', 15.82, 200, 'DDIM, eta 1, no classifier', 78.8),
  'ldm-cin256-guided': ldm('cin256', 7.77, 200, 'DDIM, eta 1, latent classifier at scale 10', 201.6),
};
