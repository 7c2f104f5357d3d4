/**
 * ImageCodec for browsers and their workers, by createImageBitmap and OffscreenCanvas.
 *
 * Two things a canvas does to pixels are kept from happening: colour management (`colorSpaceConversion: 'none'`), and premultiplied alpha,
 * which loses colours where pixels are transparent (such images are read back through WebGL, and PNG is written by our own encoder).
 */

import { StableDiffusionError } from '../../errors.ts';
import type { DecodeOptions, EncodeOptions, ImageCodec } from './codec.ts';
import { checkEncode } from './check-encode.ts';
import { finishDecode } from './decoded-pixels.ts';
import { flatten, type Image } from '../image.ts';
import { type ImageFile, inspectImageFile } from './image-file.ts';
import { writeImageMetadata } from '../metadata/image-metadata.ts';
import { encodePngFile, pngChunks } from '../metadata/png-chunks.ts';
import { encodePng } from './png-encode.ts';

function canvasOf(width: number, height: number): OffscreenCanvas {
  if (typeof OffscreenCanvas === 'undefined')
    throw new StableDiffusionError(
      'engine-unavailable',
      'This browser has no OffscreenCanvas, which images are read and written with. Use a newer one.',
    );
  return new OffscreenCanvas(width, height);
}

/** A copy whose EXIF browsers do not see: they differ in when they turn a picture by it, so that is done by us, after decoding. */
function withoutExif(bytes: Uint8Array, { format, exif }: ImageFile): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  if (!exif) return copy;
  const offset = exif.byteOffset - bytes.byteOffset;
  if (format === 'jpeg')
    copy[offset] = 0x58; // "Xxif" is nobody's segment
  else if (format === 'webp')
    copy[offset - 8] = 0x58; // "XXIF" is nobody's chunk
  else {
    const kept = [...pngChunks(bytes)].filter(({ type }) => type !== 'eXIf');
    return new Uint8Array(
      encodePngFile(kept.map((chunk) => bytes.subarray(chunk.offset, chunk.offset + 12 + chunk.data.length))),
    );
  }
  return copy;
}

function readByCanvas(bitmap: ImageBitmap): Uint8Array {
  const context = canvasOf(bitmap.width, bitmap.height).getContext('2d', {
    willReadFrequently: true,
    colorSpace: 'srgb',
  });
  if (!context)
    throw new StableDiffusionError('engine-unavailable', 'This browser gave no canvas to read an image with.');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The pixels as they are in the bitmap, not premultiplied; undefined where WebGL is missing or the image too large for it. */
function readByWebGl(bitmap: ImageBitmap): Uint8Array | undefined {
  const { width, height } = bitmap;
  const gl = canvasOf(1, 1).getContext('webgl2');
  if (!gl || Math.max(width, height) > (gl.getParameter(gl.MAX_TEXTURE_SIZE) as number)) return undefined;
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture,
    0,
  );
  const pixels = new Uint8Array(width * height * 4);
  const complete = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
  if (complete) gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return complete && !failed ? pixels : undefined;
}

async function decode(bytes: Uint8Array, options: DecodeOptions = {}): Promise<Image<3 | 4>> {
  const file = inspectImageFile(bytes, options.maxPixels);
  let bitmap: ImageBitmap;
  try {
    const blob = new Blob([withoutExif(bytes, file)], { type: `image/${file.format}` });
    bitmap = await createImageBitmap(blob, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (cause) {
    throw new StableDiffusionError(
      'file-corrupt',
      `The ${file.format.toUpperCase()} image cannot be decoded by this browser. It is damaged, or of a rare kind.`,
      { cause },
    );
  }
  try {
    let pixels = readByCanvas(bitmap);
    for (let i = 3; i < pixels.length; i += 4) {
      if (pixels[i] === 255) continue;
      pixels = readByWebGl(bitmap) ?? pixels;
      break;
    }
    return finishDecode(pixels, bitmap.width, bitmap.height, 4, file, options);
  } finally {
    bitmap.close();
  }
}

async function encodeByCanvas(image: Image, format: 'jpeg' | 'webp', quality: number): Promise<Uint8Array> {
  const { width, height, channels, data } = image;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = data[i * channels + (channels === 1 ? 0 : c)] as number;
    if (channels === 4) pixels[4 * i + 3] = data[4 * i + 3] as number;
  }
  const canvas = canvasOf(width, height);
  canvas.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: `image/${format}`, quality });
  if (blob.type !== `image/${format}`)
    throw new StableDiffusionError(
      'file-unsupported',
      `This browser does not write ${format.toUpperCase()} images. Use PNG.`,
    );
  return new Uint8Array(await blob.arrayBuffer());
}

async function encode(image: Image, options: EncodeOptions): Promise<Uint8Array> {
  checkEncode(options);
  let file: Uint8Array;
  if (options.format === 'png') file = await encodePng(image);
  else if (options.format === 'jpeg')
    file = await encodeByCanvas(flatten(image), 'jpeg', (options.quality ?? 90) / 100);
  else file = await encodeByCanvas(image, 'webp', options.lossless ? 1 : Math.min(0.99, (options.quality ?? 90) / 100)); // 1 means lossless
  return options.metadata ? writeImageMetadata(file, options.metadata) : file;
}

export const webImageCodec: ImageCodec = { decode, encode };
