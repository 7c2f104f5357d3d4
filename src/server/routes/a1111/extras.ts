/** POST /sdapi/v1/extra-single-image and extra-batch-images: enlarging by plain resampling, and faces by GFPGAN and CodeFormer. */

import * as z from 'zod';
import { nodeImageCodec } from '../../../image/codec/codec-node.ts';
import { inspectImageFile } from '../../../image/codec/image-file.ts';
import { readExif } from '../../../image/metadata/exif.ts';
import { flatten } from '../../../image/image.ts';
import type { FaceRestorerTitle } from '../../../models/faces/index.ts';
import { restoreFaces } from '../../../upscaling/faces/restore-faces.ts';
import { boundedList } from '../../admission/bounded-list.ts';
import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { faceRestorersOf, facesNeed } from '../../models/face-networks.ts';
import { type Caller, readPicture } from '../../http/picture-input.ts';
import { defineRoute, json } from '../../http/route.ts';
import { boolean, float, floatWithin, integer, text } from './pydantic.ts';
import { upscalerNames } from './upscaler-table.ts';

/** A number from 0 to 1, or null where it is left out. */
const share = () => floatWithin(0, 1);

const extrasFields = {
  resize_mode: integer(),
  show_extras_results: boolean(),
  gfpgan_visibility: share(),
  codeformer_visibility: share(),
  codeformer_weight: share(),
  upscaling_resize: float(),
  upscaling_resize_w: integer(),
  upscaling_resize_h: integer(),
  upscaling_crop: boolean(),
  upscaler_1: text(),
  upscaler_2: text(),
  extras_upscaler_2_visibility: share(),
  upscale_first: boolean(),
};

const singleBody = z.object({ ...extrasFields, image: z.string() });
const batchBody = z.object({
  ...extrasFields,
  imageList: boundedList(z.object({ data: z.string(), name: z.string() }), 64),
});
type Extras = Omit<z.output<typeof singleBody>, 'image'>;

/** The requested size of a picture. */
function sizeOf(
  body: Extras,
  width: number,
  height: number,
): { readonly width: number; readonly height: number; readonly crop: boolean } {
  if (body.resize_mode !== null && body.resize_mode !== 0 && body.resize_mode !== 1)
    throw invalidField(['body', 'resize_mode'], 'unexpected value; permitted: 0, 1');
  if (body.resize_mode === 1) {
    const [w, h] = [body.upscaling_resize_w ?? 512, body.upscaling_resize_h ?? 512];
    if (w < 1 || h < 1)
      throw invalidField(
        ['body', w < 1 ? 'upscaling_resize_w' : 'upscaling_resize_h'],
        'ensure this value is greater than or equal to 1',
      );
    if (body.upscaling_crop ?? true) return { width: w, height: h, crop: true };
    const scale = Math.max(w / width, h / height);
    return { width: Math.round(width * scale), height: Math.round(height * scale), crop: false };
  }
  const scale = body.upscaling_resize ?? 2;
  if (!(scale > 0)) throw invalidField(['body', 'upscaling_resize'], 'ensure this value is greater than 0');
  return {
    width: Math.max(1, Math.floor(width * scale)),
    height: Math.max(1, Math.floor(height * scale)),
    crop: false,
  };
}

interface FaceSettings {
  readonly model: FaceRestorerTitle;
  readonly visibility: number;
  readonly weight: number;
}

/** In the order in which they follow each other there. Throws at the field of one that the server cannot do. */
function faceSettings(
  { controls }: ServerContext,
  { gfpgan_visibility, codeformer_visibility, codeformer_weight }: Extras,
): readonly FaceSettings[] {
  const wanted = [
    { model: 'GFPGAN', field: 'gfpgan_visibility', visibility: gfpgan_visibility ?? 0 },
    { model: 'CodeFormer', field: 'codeformer_visibility', visibility: codeformer_visibility ?? 0 },
  ] as const;
  return wanted
    .filter(({ visibility }) => visibility > 0)
    .map(({ model, field, visibility }) => {
      if (!faceRestorersOf(controls).includes(model))
        throw invalidField(['body', field], `${model} ${facesNeed(model)}`);
      return { model, visibility, weight: codeformer_weight ?? 0 };
    });
}

async function facesRestored(
  { controlPool }: ServerContext,
  file: Uint8Array,
  steps: readonly FaceSettings[],
  caller: Caller,
): Promise<Uint8Array> {
  if (steps.length === 0) return file;
  let image = flatten(await nodeImageCodec.decode(file));
  for (const { model, visibility, weight } of steps) {
    const made = await controlPool.withFaceRestorer(model, caller, (restorer) =>
      restoreFaces(image, restorer, { visibility, weight, signal: caller.signal }),
    );
    image = made.image;
  }
  return nodeImageCodec.encode(image, { format: 'png' });
}

async function enlarge(
  context: ServerContext,
  body: Extras,
  encoded: string,
  where: readonly (string | number)[],
  caller: Caller,
): Promise<string> {
  const { limits } = context;
  const faces = faceSettings(context, body);
  const bytes = await atField(where, () => readPicture(context, encoded.trim(), caller.signal));
  const image = await atField(where, () => uprightSize(bytes, limits.inputPixels));
  const upscaler = (field: 'upscaler_1' | 'upscaler_2') => {
    const name = body[field] ?? 'None';
    const filter = Object.hasOwn(upscalerNames, name) ? upscalerNames[name] : undefined;
    if (!filter) throw invalidField(['body', field], `could not find upscaler named ${name.slice(0, 100)}`);
    return { name, filter };
  };
  const [{ name, filter }, other] = [upscaler('upscaler_1'), upscaler('upscaler_2')];
  const visibility = other.name === 'None' ? 0 : (body.extras_upscaler_2_visibility ?? 0);
  // A1111's "None" leaves the picture unchanged.
  const wanted =
    name === 'None'
      ? { width: image.width, height: image.height, crop: false }
      : sizeOf(body, image.width, image.height);
  if (wanted.width * wanted.height > limits.inputPixels)
    throw invalidField(
      ['body', 'upscaling_resize'],
      `the picture would have more than the ${limits.inputPixels} pixels allowed`,
    );
  const enlargement = {
    ...wanted,
    filter,
    ...(visibility > 0 ? { second: { filter: other.filter, share: visibility } } : {}),
  };
  const enlarged = await atField(where, () => context.pictures.run('enlarge', { bytes, enlargement }, caller));
  const file = await atField(where, () => facesRestored(context, enlarged, faces, caller));
  return Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString('base64');
}

/** The size of a picture from its header, with its EXIF orientation applied. */
function uprightSize(bytes: Uint8Array, maxPixels: number): { readonly width: number; readonly height: number } {
  const { width, height, exif } = inspectImageFile(bytes, maxPixels);
  const { orientation = 1 } = exif ? readExif(exif) : {};
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

const htmlInfo = (name: string | null): string =>
  `<div class='info'><p>Upscaler: ${upscalerNames[name ?? 'None'] ? (name ?? 'None') : 'None'}</p></div>`;

export const extraSingleImage = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/extra-single-image',
  summary: 'Enlarges a picture',
  flavour: 'a1111',
  body: singleBody,
  takesPictures: true,
  response: z.object({ html_info: z.string(), image: z.string() }),
  async handle(context, { body, owner, signal }) {
    const image = await enlarge(context, body, body.image, ['body', 'image'], { owner, signal });
    return json({ html_info: htmlInfo(body.upscaler_1), image });
  },
});

export const extraBatchImages = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/extra-batch-images',
  summary: 'Enlarges several pictures',
  flavour: 'a1111',
  body: batchBody,
  takesPictures: true,
  response: z.object({ html_info: z.string(), images: z.array(z.string()) }),
  async handle(context, { body, owner, signal }) {
    if (body.imageList.length > context.limits.pictures)
      throw invalidField(['body', 'imageList'], `ensure that there are at most ${context.limits.pictures} pictures`);
    const images: string[] = [];
    for (const [i, { data }] of body.imageList.entries())
      images.push(await enlarge(context, body, data, ['body', 'imageList', i], { owner, signal }));
    return json({ html_info: htmlInfo(body.upscaler_1), images });
  },
});
