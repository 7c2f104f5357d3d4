/** Pictures of kinds that only browsers read (SVG, AVIF, BMP), as PNG. */

const kept = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif']);
const vectorSide = 512;

/** The file itself where every engine reads its kind. Throws an Error for people where the browser cannot show it. */
export async function rasterPicture(file: File): Promise<File> {
  if (kept.has(file.type)) return file;
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth || vectorSide, image.naturalHeight || vectorSide);
    canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return new File([await canvas.convertToBlob({ type: 'image/png' })], file.name, { type: 'image/png' });
  } catch {
    throw new Error(`${file.name} cannot be shown by this browser: it is damaged, or of a kind that it does not know.`);
  } finally {
    URL.revokeObjectURL(url);
  }
}
