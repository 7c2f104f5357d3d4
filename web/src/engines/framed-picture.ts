/** The picture that a mask was painted over: cut to the proportions of the picture to make, at its own size, as the painter shows it. */

import type { PictureJob } from './picture-engine.ts';

/** Differences of proportions that the eye does not see and a pixel may cause. */
const tolerance = 0.01;

/** A job whose mask covers its picture exactly. */
export async function framed(job: PictureJob): Promise<PictureJob> {
  const { task, image, settings } = job;
  if (task !== 'inpaint' || !image) return job;
  const bitmap = await createImageBitmap(image);
  try {
    const ratio = settings.width / settings.height;
    const { width, height } = bitmap;
    if (Math.abs(width / height / ratio - 1) < tolerance) return job;
    const cut =
      width / height > ratio
        ? { width: Math.max(1, Math.round(height * ratio)), height }
        : { width, height: Math.max(1, Math.round(width / ratio)) };
    const canvas = new OffscreenCanvas(cut.width, cut.height);
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser gave no canvas to cut the picture with.');
    context.drawImage(bitmap, (cut.width - width) / 2, (cut.height - height) / 2);
    return { ...job, image: await canvas.convertToBlob({ type: 'image/png' }) };
  } finally {
    bitmap.close();
  }
}
