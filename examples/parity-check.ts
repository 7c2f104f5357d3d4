/** How to hold a model against numbers recorded elsewhere: here the original code's text embeddings and final latents of the pocket model. */

import { fileURLToPath } from 'node:url';
import { loadModel, textToImage } from 'stable-diffusion-ts';
import { toFloat32, type Tensor } from 'stable-diffusion-ts/tensor';
import { openWeightsAt } from 'stable-diffusion-ts/weights/node';

function largestDifference(a: Tensor, b: Tensor): number {
  const [x, y] = [toFloat32(a).data, toFloat32(b).data];
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - (y[i] ?? Number.NaN))), 0);
}

const recorded = await openWeightsAt(fileURLToPath(new URL('../fixtures/pocket/runs.safetensors', import.meta.url)));
await using model = await loadModel();
const context = await model.encodePrompts(['red apple']);
const embedding = largestDifference(context, await recorded.read('apple.context'));
console.log(`text embeddings differ by at most ${embedding}`);
let latents = Number.POSITIVE_INFINITY;
for await (const event of textToImage(model, { prompt: 'red apple', seed: 42, steps: 20, guidanceScale: 5 })) {
  if (event.kind === 'result') latents = largestDifference(event.latents, await recorded.read('apple.latent'));
}
console.log(`final latents differ by at most ${latents}`);
await recorded.close();
if (!(embedding < 1e-4 && latents < 2e-3)) throw new Error('the numbers are not those of the original code');
