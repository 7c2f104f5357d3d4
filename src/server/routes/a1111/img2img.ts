/** POST /sdapi/v1/img2img: image to image, and inpainting with a mask. */

import { StableDiffusionError } from '../../../errors.ts';
import type { JobDraft } from '../../decide-job.ts';
import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { type Caller, readPicture, storePicture } from '../../http/picture-input.ts';
import { defineRoute } from '../../http/route.ts';
import type { JobRequest } from '../../job.ts';
import { resizeModes } from '../../../image/fit-image.ts';
import { withInfotext } from './infotext-fields.ts';
import { controlsIn } from './controls-in.ts';
import { answerGeneration, draftsWith, sharedDraft } from './generation.ts';
import { type Options, requestOptions } from './request-options.ts';
import { chosenScript } from './scripts/index.ts';
import { softInpaintingIn } from './soft-inpainting.ts';
import { withStyles } from './prompt-styles.ts';
import { generationResponse, type ImageToImageFields, imageToImageFields } from './generation-fields.ts';

const fills = ['fill', 'original', 'latent noise', 'latent nothing'] as const;

function pick<T>(list: readonly T[], index: number, field: string): T {
  const found = list[index];
  if (found === undefined)
    throw invalidField(['body', field], `unexpected value; permitted: ${list.map((_, i) => i).join(', ')}`);
  return found;
}

function inpaintOf(body: ImageToImageFields): NonNullable<JobRequest['inpaint']> {
  const blur = (own: number | null): number => {
    const value = own ?? body.mask_blur ?? 4;
    if (value < 0 || value > 256) throw invalidField(['body', 'mask_blur'], 'ensure this value is from 0 to 256');
    return value;
  };
  const padding = body.inpaint_full_res_padding ?? 0;
  if (padding < 0 || padding > 4096)
    throw invalidField(['body', 'inpaint_full_res_padding'], 'ensure this value is from 0 to 4096');
  const soft = softInpaintingIn(body);
  return {
    blurX: body.mask_blur === null ? blur(body.mask_blur_x) : blur(body.mask_blur),
    blurY: body.mask_blur === null ? blur(body.mask_blur_y) : blur(body.mask_blur),
    fill: pick(fills, body.inpainting_fill ?? 0, 'inpainting_fill'),
    invert: (body.inpainting_mask_invert ?? 0) !== 0,
    // Soft inpainting turns the rounding off.
    round: soft ? false : (body.mask_round ?? true),
    ...(soft ? { soft } : {}),
    ...((body.inpaint_full_res ?? true) ? { onlyMaskedPadding: padding } : {}),
  };
}

/** Ids of a request's pictures in the store. */
interface StoredPictures {
  readonly images: readonly [string, ...string[]];
  readonly mask: string | undefined;
}

/** Stores the initial pictures and the mask. Throws `not-found`, `invalid-argument` and others at their fields. */
async function storePictures(
  context: ServerContext,
  caller: Caller,
  body: ImageToImageFields,
): Promise<StoredPictures> {
  const [first, ...others] = body.init_images ?? [];
  if (first === undefined) throw new StableDiffusionError('not-found', 'Init image not found');
  const batch = Math.max(1, body.batch_size ?? 1);
  if (others.length >= batch)
    throw invalidField(
      ['body', 'init_images'],
      `bad number of images passed: ${others.length + 1}; expecting ${batch} or less`,
    );
  const picture = (text: string, where: readonly (string | number)[]): Promise<string> =>
    atField(
      where,
      async () => (await storePicture(context, await readPicture(context, text.trim(), caller.signal), caller)).id,
    );
  const images: [string, ...string[]] = [await picture(first, ['body', 'init_images', 0])];
  for (const [i, text] of others.entries()) images.push(await picture(text, ['body', 'init_images', i + 1]));
  return { images, mask: body.mask ? await picture(body.mask, ['body', 'mask']) : undefined };
}

/** The request's own factor, else that of the options; 1 is none. */
function initialNoiseOf({ initial_noise_multiplier: own }: ImageToImageFields, options: Options): number | undefined {
  const factor = own ?? Number(options['initial_noise_multiplier']);
  return factor === 1 ? undefined : factor;
}

/** `#rrggbb` of the option; undefined for white. */
function backgroundOf({ img2img_background_color: given }: Options): string | undefined {
  const [, red = 'f', green = 'f', blue = 'f'] = /^#(.)(.)(.)$/.exec(String(given)) ?? [];
  const colour = String(given).length === 4 ? `#${red}${red}${green}${green}${blue}${blue}` : String(given);
  return colour.toLowerCase() === '#ffffff' ? undefined : colour.toLowerCase();
}

function imageToImageDraft(
  context: ServerContext,
  owner: string,
  body: ImageToImageFields,
  { images, mask }: StoredPictures,
): JobDraft {
  const draft = sharedDraft(context, owner, body, mask ? 'inpaint' : 'img2img');
  const options = requestOptions(context, owner, body.override_settings ?? {});
  // Mode 3 enlarges the latent instead of the picture.
  const resizeMode = body.resize_mode === 3 ? 'stretch' : pick(resizeModes, body.resize_mode ?? 0, 'resize_mode');
  return {
    ...draft,
    strength: body.denoising_strength ?? 0.75,
    ...(options['img2img_fix_steps'] === true ? { strengthRule: 'all' } : {}),
    image: images[0],
    // As there, each picture of the batch starts from its own.
    ...(images.length > 1 ? { images, batchSize: images.length } : {}),
    ...(mask ? { mask } : {}),
    resizeMode,
    initialNoise: initialNoiseOf(body, options),
    background: backgroundOf(options),
    ...(mask ? { inpaint: inpaintOf(body) } : {}),
    imageGuidanceScale: body.image_cfg_scale ?? undefined,
  };
}

export const img2img = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/img2img',
  summary: 'Makes pictures that start from an image, or paints the masked part of one',
  flavour: 'a1111',
  body: imageToImageFields,
  takesPictures: true,
  response: generationResponse,
  async handle(context, request) {
    const body = withInfotext(context, request.body, imageToImageFields);
    const chosen = chosenScript(body, 'img2img');
    const outpaint = chosen?.script.outpaint?.(chosen.args);
    const stored = await storePictures(context, request, body);
    // Outpainting has a mask of its own.
    const bare = { ...body, init_images: null, mask: null };
    if (chosen?.script.run)
      return chosen.script.run({
        context,
        caller: request,
        body: bare,
        isImageToImage: true,
        args: chosen.args,
        draftOf: draftsWith(await controlsIn(context, request, body, true), async (own) =>
          imageToImageDraft(context, request.owner, withStyles(context.styles, { ...body, ...own }), stored),
        ),
      });
    const pictures = outpaint ? { ...stored, mask: undefined } : stored;
    const draft = imageToImageDraft(context, request.owner, withStyles(context.styles, body), pictures);
    const controls = await controlsIn(context, request, body, true);
    return answerGeneration(context, request, { ...draft, outpaint }, body, controls);
  },
});
