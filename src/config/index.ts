/** Configurations: LDM's YAML and Hugging Face's JSON, as typed descriptions of networks and models. */

export * from './latent-diffusion-config.ts';
export * from './model-config.ts';
export * from './network-config.ts';
export * from './yaml.ts';
