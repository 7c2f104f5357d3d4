/**
 * The two views of a diffusion model that samplers work on. Neither knows a network, a prompt or guidance: those are inside.
 *
 * - `NoisePredictor`: x_t in the variance-preserving space of DDPM (x_t = sqrt(alphas_cumprod) x_0 + sqrt(1 - alphas_cumprod) eps)
 *   and an integer timestep, to eps. CompVis's and diffusers's samplers.
 * - `Denoiser`: x in the variance-exploding space of Karras et al. 2022 (x = x_0 + sigma eps) and sigma, to the denoised x_0.
 *   k-diffusion's and ComfyUI's samplers.
 */

import type { Tensor } from '../tensor/tensor.ts';

/** float32 [batch, channels, height, width] in the model's latent space. */
export type Latent = Tensor<'float32'>;

export type NoisePredictor = (x: Latent, timestep: number, signal?: AbortSignal) => Promise<Latent>;

export type Denoiser = (x: Latent, sigma: number, signal?: AbortSignal) => Promise<Latent>;
