/** How to hold a network against numbers recorded elsewhere: run one part of a checkpoint alone and compare tensors. */

import { createNodeEngine, loadModel } from 'stable-diffusion-ts';
import { float32 } from 'stable-diffusion-ts/tensor';

await using engine = createNodeEngine({ threads: 1 });
await using model = await loadModel(undefined, { engine });
const x = float32([1, 4, 16, 16], Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i)));
const context = await model.encodePrompts(['red apple']);
const once = await model.predict(x, 500, { context });
const again = await model.predict(x, 500, { context });
const largest = once.data.reduce((most, value, i) => Math.max(most, Math.abs(value - (again.data[i] ?? Number.NaN))), 0);
console.log(`the same call twice differs by ${largest}`);
if (largest !== 0) throw new Error('the engine is not deterministic');
