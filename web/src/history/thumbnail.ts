/** Small versions of pictures, for lists: made when they are first shown, and kept while the page is open. */

const side = 320;
/** Files below this are their own thumbnail. */
const smallBytes = 100_000;
/** Pictures decoded at a time. */
const atOnce = 3;

const made = new WeakMap<Blob, Promise<Blob>>();
const waiting: (() => void)[] = [];
let busy = 0;

async function turn<T>(work: () => Promise<T>): Promise<T> {
  while (busy >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  busy++;
  try {
    return await work();
  } finally {
    busy--;
    waiting.shift()?.();
  }
}

async function shrink(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  try {
    const scale = Math.min(1, side / Math.min(bitmap.width, bitmap.height));
    if (scale === 1) return file;
    const canvas = new OffscreenCanvas(
      Math.max(1, Math.round(bitmap.width * scale)),
      Math.max(1, Math.round(bitmap.height * scale)),
    );
    const context = canvas.getContext('2d');
    if (!context) return file;
    context.imageSmoothingQuality = 'high';
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return await canvas.convertToBlob({ type: 'image/webp', quality: 0.85 });
  } finally {
    bitmap.close();
  }
}

/** The file itself where it is small, or cannot be made smaller. */
export function thumbnailOf(file: Blob): Promise<Blob> {
  if (file.size < smallBytes) return Promise.resolve(file);
  const known = made.get(file);
  if (known) return known;
  const work = turn(() => shrink(file)).catch(() => file);
  made.set(file, work);
  return work;
}
