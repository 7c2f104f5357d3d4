/** POST /controlnet/detect: the maps of pictures by a preprocessor, as sd-webui-controlnet 1.1.455 answers. */

import * as z from 'zod';
import { StableDiffusionError } from '../../../errors.ts';
import { controlSchema } from '../../../generation/control-fields.ts';
import { nodeImageCodec } from '../../../image/codec/codec-node.ts';
import { drawMap } from '../../../pipelines/control-maps.ts';
import { boundedList } from '../../admission/bounded-list.ts';
import type { ServerContext } from '../../context.ts';
import { type ControlModule, findModule, withinSlider } from '../../controlnet/modules.ts';
import { whyAbsent } from '../../../preprocessors/absent-preprocessors.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { type Caller, readPicture } from '../../http/picture-input.ts';
import { defineRoute, json } from '../../http/route.ts';
import { boolean, float, integer, text } from '../a1111/pydantic.ts';

const pictures = () => z.preprocess((given) => given ?? [], boundedList(z.string(), 64));

const body = z.object({
  controlnet_module: text(),
  controlnet_input_images: pictures(),
  /** The name by which `webuiapi` sends them. */
  controlnet_images: pictures(),
  controlnet_masks: pictures(),
  controlnet_processor_res: integer(),
  controlnet_threshold_a: float(),
  controlnet_threshold_b: float(),
  low_vram: boolean(),
});
type Detect = z.output<typeof body>;

const refuse = (message: string): never => {
  throw new StableDiffusionError('invalid-argument', message, { details: { where: ['body'] } });
};

async function mapOf(
  context: ServerContext,
  {
    module,
    given,
    image,
    mask,
  }: { module: ControlModule; given: Detect; image: Uint8Array; mask: Uint8Array | undefined },
  caller: Caller,
): Promise<Uint8Array> {
  const fields = controlSchema.parse({
    model: module.name,
    preprocessor: module.name,
    resolution: withinSlider(module.resolution, given.controlnet_processor_res ?? undefined),
    thresholdA: withinSlider(module.a, given.controlnet_threshold_a ?? undefined),
    thresholdB: withinSlider(module.b, given.controlnet_threshold_b ?? undefined),
  });
  const made = await context.pictures.run('map', { bytes: image, mask, fields }, caller);
  if ('png' in made) return made.png;
  const { picture } = made;
  const size = { width: picture.width, height: picture.height };
  const map = await context.controlPool.withAnnotator(module.network ?? '', caller, (annotator) =>
    drawMap({ fields, annotator, picture, size, seed: 0 }),
  );
  return nodeImageCodec.encode(map, { format: 'png' });
}

export const detectMaps = defineRoute({
  method: 'POST',
  path: '/controlnet/detect',
  summary: 'Maps of pictures by a preprocessor',
  flavour: 'a1111',
  body,
  takesPictures: true,
  response: z.object({ info: z.string(), images: z.array(z.string()) }),
  async handle(context, { body: given, owner, signal }) {
    const name = given.controlnet_module || 'none';
    const module =
      findModule(name) ?? refuse(['Module not available', whyAbsent(name)].flatMap((part) => part ?? []).join('. '));
    if (!module.drawsMap) refuse('Module not supported');
    if (module.network !== undefined && context.controls.annotatorPath(module.network) === undefined)
      refuse(`The preprocessor ${module.name} needs a network that is in no folder of --annotators.`);
    const sent = given.controlnet_input_images.length > 0 ? 'controlnet_input_images' : 'controlnet_images';
    const images = given[sent];
    const masks = given.controlnet_masks;
    if (images.length === 0) refuse('No image selected');
    if (images.length > context.limits.pictures)
      throw invalidField(['body', sent], `ensure this value has at most ${context.limits.pictures} elements`);
    if (module.needsMask && masks.length !== images.length)
      refuse(`Preprocessor ${name} requires \`controlnet_masks\` param.`);
    const maps: string[] = [];
    for (const [i, encoded] of images.entries()) {
      const map = await atField(['body', sent, i], async () => {
        const image = await readPicture(context, encoded.trim(), signal);
        const mask = module.needsMask ? await readPicture(context, (masks[i] ?? '').trim(), signal) : undefined;
        return mapOf(context, { module, given, image, mask }, { owner, signal });
      });
      maps.push(Buffer.from(map).toString('base64'));
    }
    return json({ info: 'Success', images: maps });
  },
});
