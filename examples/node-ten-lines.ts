/** A picture in ten lines. */
import { loadModel, saveImage, textToImage } from 'stable-diffusion-ts';

await using model = await loadModel();
for await (const event of textToImage(model, { prompt: 'blue heart', steps: 20, guidanceScale: 5 })) {
  if (event.kind === 'step') console.log(`step ${event.step} of ${event.steps}`);
  if (event.kind === 'result') for (const picture of event.images) await saveImage('outputs/blue-heart.png', picture);
}
