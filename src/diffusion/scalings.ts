/**
 * sgm's scalings: the factors around a network at a noise level (sgm.modules.diffusionmodules.denoiser_scaling): D(x) = c_skip x + c_out F(c_in x,
 * c_noise). The first two are those of every model with DDPM's levels; with the other two the network receives the logarithm of the level, as EDM
 * (Karras et al. 2022, arXiv 2206.00364, table 1): Playground v2.5 and CosXL.
 */

import { preconditioning } from './elucidated.ts';

export interface Scaling {
  readonly skip: number;
  readonly out: number;
  readonly in: number;
  /** What the network is given as its time. */
  readonly noise: number;
}

const deviation = (sigma: number): number => Math.sqrt(sigma * sigma + 1);

export const scalings = {
  EpsScaling: (sigma: number): Scaling => ({ skip: 1, out: -sigma, in: 1 / deviation(sigma), noise: sigma }),
  VScaling: (sigma: number): Scaling => ({
    skip: 1 / (sigma * sigma + 1),
    out: -sigma / deviation(sigma),
    in: 1 / deviation(sigma),
    noise: sigma,
  }),
  EDMScaling: (sigma: number, sigmaData = 0.5): Scaling => preconditioning(sigma, sigmaData),
  VScalingWithEDMcNoise: (sigma: number, sigmaData = 1): Scaling => {
    const { out, ...others } = preconditioning(sigma, sigmaData);
    return { ...others, out: -out };
  },
} as const;

export type ScalingName = keyof typeof scalings;
