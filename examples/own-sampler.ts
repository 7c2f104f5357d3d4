/** Your own sampler: a sampler is an async generator, so it needs no base class. Here Euler's method with every second step left out. */

import { loadModel } from 'stable-diffusion-ts';
import { denoiser, guidedModel, sampleEuler, sigmaSchedule } from 'stable-diffusion-ts/diffusion';
import { normalNoise } from 'stable-diffusion-ts/random';
import { scale } from 'stable-diffusion-ts/tensor';

await using model = await loadModel();
const condition = { context: await model.encodePrompts(['cat face']) };
const unconditional = { context: await model.encodePrompts(['']) };
const { schedule, parameterization } = model;
const guided = guidedModel({
  network: (inputs) => model.predict(inputs),
  schedule,
  parameterization,
  condition,
  unconditional,
  scale: 5,
});

const sigmas = sigmaSchedule('karras')(30, schedule).filter((_, i, all) => i % 2 === 0 || i === all.length - 1);
let latent = scale(normalNoise([1, 4, 16, 16], 7), sigmas[0] ?? 1);
for await (const step of sampleEuler(denoiser(guided), latent, sigmas, {})) {
  latent = step.latent;
  console.log(`sigma ${step.sigma.toFixed(3)}`);
}
const picture = await model.decodeLatent(latent);
console.log(`a picture of ${picture.shape.join(' x ')}`);
