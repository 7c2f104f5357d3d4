/**
 * Numbers of papers to compare one's own with, as the originals' repositories publish them. guided-diffusion: its README and the example of its
 * evaluations' README (Dhariwal and Nichol 2021, arXiv 2105.05233); inception scores as Papers With Code lists them for that paper.
 * latent-diffusion: the table of models in its README (Rombach et al. 2022, arXiv 2112.10752).
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

type Rates = readonly [fid: number, precision: number, recall: number];

const adm = (
  model: string,
  [fid, precision, recall]: Rates,
  sampling: string,
  more: Partial<Pick<PaperNumbers, 'inceptionScore' | 'steps' | 'sfid'>> = {},
): PaperNumbers => ({
  model,
  source: "guided-diffusion's README",
  sampling,
  pictures: 50_000,
  steps: 250,
  fid,
  precision,
  recall,
  ...more,
});

const ldm = (
  model: string,
  [fid, precision, recall]: Rates,
  inceptionScore: number,
  steps: number,
  sampling: string,
): PaperNumbers => ({
  model,
  source: "latent-diffusion's README",
  sampling,
  pictures: 50_000,
  steps,
  fid,
  inceptionScore,
  precision,
  recall,
});

/** By the names that `--paper` takes. */
export const paperNumbers: Readonly<Record<string, PaperNumbers>> = {
  imagenet64: adm('64x64_diffusion.pt', [2.07, 0.74, 0.63], 'DDPM, no classifier'),
  'imagenet128-guided': adm('128x128_diffusion.pt', [2.97, 0.78, 0.59], 'DDPM, classifier scale 0.5'),
  'imagenet256-guided': adm('256x256_diffusion.pt', [4.59, 0.82, 0.52], 'DDPM, classifier scale 1', {
    inceptionScore: 186.7,
  }),
  'imagenet512-guided': adm('512x512_diffusion.pt', [7.72, 0.87, 0.42], 'DDPM, classifier scale 4', {
    inceptionScore: 172.71,
  }),
  'imagenet256-upsampled': adm('64_256_upsampler.pt', [3.94, 0.83, 0.53], 'DDPM, upsampled guided samples', {
    inceptionScore: 215.84,
    sfid: 6.14,
  }),
  'imagenet512-upsampled': adm('128_512_upsampler.pt', [3.85, 0.84, 0.53], 'DDPM, upsampled guided samples', {
    inceptionScore: 221.72,
  }),
  'lsun-bedroom': adm('lsun_bedroom.pt', [1.9, 0.66, 0.51], 'DDPM', { steps: 1000 }),
  'lsun-cat': adm('lsun_cat.pt', [5.57, 0.63, 0.52], 'DDPM', { steps: 1000 }),
  'lsun-horse': adm('lsun_horse.pt', [2.57, 0.71, 0.55], 'DDPM', { steps: 1000 }),
  'ldm-celeba256': ldm('celeba256', [5.11, 0.72, 0.49], 3.29, 200, 'DDIM, eta 0'),
  'ldm-ffhq256': ldm('ffhq256', [4.98, 0.73, 0.5], 4.5, 200, 'DDIM, eta 1'),
  'ldm-lsun-beds256': ldm('lsun_beds256', [2.95, 0.66, 0.48], 2.22, 200, 'DDIM, eta 1'),
  'ldm-lsun-churches256': ldm('lsun_churches256', [4.02, 0.64, 0.52], 2.72, 400, 'DDIM, eta 0'),
  'ldm-cin256': ldm('cin256', [15.82, 0.65, 0.63], 78.82, 200, 'DDIM, eta 1, no classifier'),
  'ldm-cin256-guided': ldm('cin256', [7.77, 0.84, 0.35], 201.56, 200, 'DDIM, eta 1, latent classifier at scale 10'),
};
