/** A job of the page as the worker takes it, and the worker's events as the page shows them. */

import { webImageCodec } from 'stable-diffusion-ts/image/codec/codec-web.ts';
import { type RegionSettings, composeInpainted, inpaintRegion } from 'stable-diffusion-ts/image/inpaint-region.ts';
import { createImage, flatten, type Image } from 'stable-diffusion-ts/image/image.ts';
import { readImageMetadata } from 'stable-diffusion-ts/image/metadata/image-metadata.ts';
import { laterSeed, seedOf } from 'stable-diffusion-ts/random/plain-seed.ts';
import type { WorkerEvent, WorkerImage, WorkerJob } from 'stable-diffusion-ts/worker/protocol-web.ts';
import { extraRequest, isVariation } from '../settings/extra-settings.ts';
import type { FinishedPicture, JobEvent, PictureJob } from './picture-engine.ts';

const decode = async (file: Blob): Promise<Image> => webImageCodec.decode(new Uint8Array(await file.arrayBuffer()));

/** The picture at the size of the job, cut to its proportions, as a server's "crop and resize" does it. */
async function fitted(file: Blob, width: number, height: number): Promise<Image<3>> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser gave no canvas to fit the picture with.');
  context.imageSmoothingQuality = 'high';
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c] as number;
  return createImage(width, height, 3, rgb);
}

/** A prompt of the template for each picture, by its seed, as a server draws them. Lines of files are a server's. */
async function drawnPrompts({ prompt, negativePrompt, seed, batchSize }: PictureJob['settings']) {
  const { resolveDynamicPrompt } = await import('stable-diffusion-ts/prompt/dynamic-prompt.ts');
  const drawn = (text: string, i: number): string => resolveDynamicPrompt(text, seedOf(laterSeed(seed, i)));
  return {
    prompt: Array.from({ length: batchSize }, (_, i) => drawn(prompt, i)),
    negativePrompt: drawn(negativePrompt, 0),
  };
}

/** A job for the worker, and what becomes of its pictures afterwards. */
interface Prepared {
  readonly job: WorkerJob;
  readonly finish: (made: WorkerImage) => Promise<Blob>;
}

const asPng = async ({ png }: WorkerImage): Promise<Blob> => new Blob([png], { type: 'image/png' });

/** @param seesMask the model is one of inpainting, which is given the mask */
export async function prepared(
  { task, settings, image, mask }: PictureJob,
  { seesMask }: { readonly seesMask: boolean },
): Promise<Prepared> {
  // Control networks are a server's.
  const { width, height, strength, schedule, extra, controls: _, ...same } = settings;
  // A seed for each picture, so that each can be made again alone; variations are all of one.
  const step = isVariation(extra) ? 0 : 1;
  const seeds = Array.from({ length: settings.batchSize }, (_, i) => laterSeed(settings.seed, i * step));
  const {
    inpaint = {},
    dynamicPrompts,
    ...additions
  } = extraRequest(extra, task, 'browser') as {
    readonly inpaint?: InpaintFields;
    readonly dynamicPrompts?: boolean;
    readonly outpaint?: object;
  };
  const options = {
    ...same,
    ...(dynamicPrompts ? await drawnPrompts(settings) : {}),
    seeds,
    ...(schedule ? { schedule } : {}),
    noise: 'a1111-cpu' as const,
    ...additions,
  };
  if (task === 'txt2img' || !image) return { job: { task: 'txt2img', ...options, width, height }, finish: asPng };
  if (task === 'img2img' || !mask) {
    // A picture that is extended keeps its size.
    const picture = additions.outpaint
      ? { image: flatten(await decode(image)), width, height }
      : { image: await fitted(image, width, height) };
    return { job: { task: 'img2img', ...options, ...picture, strength }, finish: asPng };
  }
  return inpainting({ image, mask, settings, inpaint, seesMask }, { ...options, strength });
}

/** The inpainting settings of the form. */
interface InpaintFields {
  readonly fill?: NonNullable<RegionSettings['inpaint']>['fill'];
  readonly blur?: number;
  readonly onlyMaskedPadding?: number;
}

interface Inpainting extends Required<Pick<PictureJob, 'image' | 'mask' | 'settings'>> {
  readonly inpaint: InpaintFields;
  readonly seesMask: boolean;
}

/** A1111's lines about the mask, which the record of the run does not hold. */
function withMaskLines(parameters: string, { fill = 'original', blur = 4, onlyMaskedPadding }: InpaintFields): string {
  const lines = [
    `Mask blur: ${blur}`,
    ...(onlyMaskedPadding === undefined
      ? []
      : ['Inpaint area: Only masked', `Masked area padding: ${onlyMaskedPadding}`]),
    ...(fill === 'original' ? [] : [`Masked content: ${fill}`]),
  ];
  return parameters.replace(/, Version: [^,\n]*$/, (version) => `, ${lines.join(', ')}${version}`);
}

/** As a server prepares it: the mask's edge blurred, the part around it cut out, and laid over the picture when it is made. */
async function inpainting(
  { image, mask, settings, inpaint, seesMask }: Inpainting,
  options: Omit<Extract<WorkerJob, { readonly task: 'inpaint' }>, 'task' | 'image' | 'mask'>,
): Promise<Prepared> {
  const { width, height, seed } = settings;
  const picture = await decode(image);
  const { fill = 'original', blur = 4, onlyMaskedPadding } = inpaint;
  const sketch = await decode(mask);
  const region = inpaintRegion(picture, sketch, {
    width,
    height,
    resizeMode: 'crop',
    seeds: [seed],
    inpaint: { blurX: blur, blurY: blur, fill, onlyMaskedPadding, invert: false },
  });
  const given = { ...options, image: region.image, mask: region.mask, maskRule: 'round' as const };
  return {
    job: {
      task: 'inpaint',
      ...given,
      ...(seesMask ? {} : { keepRule: 'after' as const }),
      ...(!seesMask && (fill === 'latent noise' || fill === 'latent nothing') ? { maskedContent: fill } : {}),
    },
    finish: async ({ image: made, png }) => {
      const { parameters, record } = readImageMetadata(png);
      const file = await webImageCodec.encode(composeInpainted(region.overlay, made), {
        format: 'png',
        metadata: { parameters: parameters && withMaskLines(parameters, inpaint), record },
      });
      return new Blob([new Uint8Array(file)], { type: 'image/png' });
    },
  };
}

function bitmapOf({ width, height, data }: Image<3>): Promise<ImageBitmap> {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[3 * i + c] as number;
    pixels.data[4 * i + 3] = 255;
  }
  return createImageBitmap(pixels);
}

const stages = {
  text: 'Reading the prompt',
  image: 'Looking at the picture',
  sampling: 'Starting',
  decoding: 'Developing',
  checking: 'Checking',
} as const;

export async function jobEvents(
  event: WorkerEvent,
  batchSize: number,
  finish: Prepared['finish'],
): Promise<readonly JobEvent[]> {
  if (event.kind === 'stage') return [{ kind: 'status', text: stages[event.stage] }];
  if (event.kind === 'step') {
    const previews = await Promise.all(
      (event.preview ?? []).map(async (image, index) => ({
        kind: 'preview' as const,
        index,
        bitmap: await bitmapOf(image),
      })),
    );
    return [{ kind: 'step', done: event.step * batchSize, total: event.steps * batchSize }, ...previews];
  }
  if (event.kind !== 'images') return [];
  const pictures = await Promise.all(
    event.images.map(
      async (made): Promise<FinishedPicture> => ({
        file: await finish(made),
        seed: made.record.seed,
        flagged: made.flagged,
      }),
    ),
  );
  return [{ kind: 'pictures', pictures }];
}
