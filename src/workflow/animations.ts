/** Batches as one moving picture, as ComfyUI's nodes save them: frames in 8 bits cut, the graph in the file. */

import { animatedPng } from '../image/codec/animated-png.ts';
import { animatedWebp } from '../image/codec/animated-webp.ts';
import { exifOfTexts } from '../image/metadata/exif-texts.ts';
import { writeWebpExif } from '../image/metadata/webp-chunks.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import type { NodeResult } from './definition.ts';
import { numberedName } from './numbered-name.ts';
import { imageInTurns, workflowTexts } from './pictures.ts';

type Float32 = Tensor<'float32'>;

interface Animation {
  readonly prefix: string;
  /** Frames a second. */
  readonly fps: number;
}

/** Of the graph, and of the first further text; others go down from it. */
const exifTags = { prompt: 0x0110, first: 0x010f } as const;

/** Encodes each frame, puts them together, and writes the file. */
async function saveFrames(
  images: Float32,
  prefix: string,
  context: NodeContext,
  form: {
    readonly ending: string;
    readonly encode: (frame: Awaited<ReturnType<typeof imageInTurns>>) => Promise<Uint8Array>;
    readonly join: (frames: readonly Uint8Array[]) => Uint8Array;
  },
): Promise<NodeResult['ui']> {
  const [batch = 0, height = 0, width = 0] = images.shape;
  // ComfyUI fills `%width%` and `%height%` as for all its pictures.
  const { subfolder, name, counter } = await context.files.place('output', prefix, { width, height });
  const frames: Uint8Array[] = [];
  for (let i = 0; i < batch; i++) frames.push(await form.encode(await imageInTurns(images, i)));
  const filename = numberedName(name, counter, form.ending);
  return { images: [await context.files.write('output', subfolder, filename, form.join(frames))] };
}

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** The texts are in chunks `comf` behind the pixels, as name, zero byte, JSON. */
export async function saveAnimatedPng(images: Float32, { prefix, fps }: Animation, context: NodeContext) {
  const after = workflowTexts(context).map(([key, text]) => ['comf', latin1(`${key}\0${text}`)] as const);
  const ui = await saveFrames(images, prefix, context, {
    ending: 'png',
    encode: (frame) => context.codec.encode(frame, { format: 'png' }),
    join: (frames) => animatedPng(frames, { milliseconds: Math.trunc(1000 / fps), after }),
  });
  return { ...ui, animated: [true] };
}

/** The texts are EXIF's model and what lies before it, as `name:JSON`. One frame alone makes a plain WebP. */
export async function saveAnimatedWebp(
  images: Float32,
  { prefix, fps, lossless, quality }: Animation & { readonly lossless: boolean; readonly quality: number },
  context: NodeContext,
) {
  const exif = new Map<number, string>();
  let next: number = exifTags.first;
  for (const [key, text] of workflowTexts(context))
    exif.set(key === 'prompt' ? exifTags.prompt : next--, `${key}:${text}`);
  const ui = await saveFrames(images, prefix, context, {
    ending: 'webp',
    encode: (frame) => context.codec.encode(frame, { format: 'webp', lossless, quality: Math.max(1, quality) }),
    join(frames) {
      const [first] = frames;
      const file = first && frames.length === 1 ? first : animatedWebp(frames, Math.trunc(1000 / fps));
      return exif.size > 0 ? writeWebpExif(file, exifOfTexts(exif)) : file;
    },
  });
  return { ...ui, animated: [images.shape[0] !== 1] };
}
