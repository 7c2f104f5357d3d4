/** How controls are written on the command line: a model, its picture, and settings. `--control edges.pth=house.png,weight=0.8,end=0.5`. */

import { isReferenceMode, noControlModel } from '../diffusion/control/reference-modes.ts';
import type { ControlInputs } from '../generation/control-inputs.ts';
import type { GenerationRecord } from '../generation/record.ts';
import type { Image } from '../image/image.ts';
import type { Model } from '../model/model.ts';
import type { OpenAnnotator } from '../preprocessors/index.ts';
import { needing } from './needed-options.ts';
import { list, text, UsageError } from './options.ts';

/** What of a control is a field of the request: words are kept, numbers read. */
const fieldNames = [
  'weight',
  'start',
  'end',
  'mode',
  'passes',
  'resize',
  'preprocessor',
  'resolution',
  'pixelPerfect',
  'thresholdA',
  'thresholdB',
] as const;
const promptFields = ['weight', 'start', 'end'] as const;
const fileNames = ['mask', 'region', 'encoder', 'annotator'] as const;

export interface ControlWords {
  readonly model: string;
  /** Files; several only for IP-Adapters. */
  readonly pictures: readonly string[];
  readonly files: Partial<Readonly<Record<(typeof fileNames)[number], string>>>;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A number or true or false where it is one, else the text: the request's schema checks it. */
function settingValue(given: string): unknown {
  if (given === 'true' || given === 'false') return given === 'true';
  return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/.test(given) ? Number(given) : given;
}

/** `PHRASE@LEFT:TOP:RIGHT:BOTTOM`, for GLIGEN. */
function objectsOf(given: readonly string[]): { readonly objects?: readonly object[] } {
  const objects = given.map((text) => {
    const at = text.lastIndexOf('@');
    const box = text
      .slice(at + 1)
      .split(':')
      .map(Number);
    if (at < 1 || box.length !== 4 || !box.every((side) => side >= 0 && side <= 1))
      throw new UsageError(`has the object ${JSON.stringify(text)}; write "a cat@0.1:0.2:0.5:0.6", sides from 0 to 1.`);
    return { phrase: text.slice(0, at), box };
  });
  return objects.length > 0 ? { objects } : {};
}

function reader(fields: readonly string[], example: string): (given: string) => ControlWords {
  const names: readonly string[] = [...fields, ...fileNames, 'object'];
  return (given) => {
    const [head = '', ...rest] = given.split(',');
    const parts = [head];
    const settings: [string, string][] = [];
    for (const part of rest) {
      const at = part.indexOf('=');
      const name = part.slice(0, Math.max(0, at));
      if (names.includes(name)) settings.push([name, part.slice(at + 1)]);
      // A comma of a file's name.
      else if (settings.length === 0 && at < 0) parts.push(part);
      else
        throw new UsageError(
          `has ${JSON.stringify(part)}; after the picture come settings: ${names.join(', ')}. Example: ${example}.`,
        );
    }
    const first = parts.join(',');
    const equals = first.indexOf('=');
    const [model, picture] = equals < 0 ? [first, ''] : [first.slice(0, equals), first.slice(equals + 1)];
    if (model === '') throw new UsageError(`needs a model and its picture, such as ${example}.`);
    const isFile = (name: string): boolean => (fileNames as readonly string[]).includes(name);
    return {
      model,
      pictures: picture === '' ? [] : picture.split('+'),
      files: Object.fromEntries(settings.filter(([name]) => isFile(name))),
      fields: {
        ...Object.fromEntries(
          settings
            .filter(([name]) => !isFile(name) && name !== 'object')
            .map(([name, value]) => [name, settingValue(value)]),
        ),
        ...objectsOf(settings.flatMap(([name, value]) => (name === 'object' ? [value] : []))),
      },
    };
  };
}

export const controlOptions = {
  control: list(
    ['--control'],
    'MODEL=PICTURE,…',
    `ControlNet or T2I-Adapter with its picture, GLIGEN, or none=PICTURE,preprocessor=reference_only, and settings: ${fieldNames.join(', ')}, mask=FILE, region=FILE, annotator=FILE, object=PHRASE@LEFT:TOP:RIGHT:BOTTOM; can be repeated`,
    reader(fieldNames, 'canny.pth=edges.png,weight=0.8,end=0.5'),
  ),
  ipAdapter: list(
    ['--ip-adapter'],
    'MODEL=PICTURE,…',
    `IP-Adapter with its picture (several: A.png+B.png), and settings: ${promptFields.join(', ')}, region=FILE, encoder=FILE; can be repeated`,
    reader(promptFields, 'ip-adapter_sd15.safetensors=style.png,weight=0.6'),
  ),
  imageEncoder: needing(
    text(['--image-encoder'], 'FILE', "CLIP's image encoder (file or folder), for IP-Adapters and style adapters"),
    '--ip-adapter',
    '--control',
  ),
  controlRule: needing(
    text(
      ['--control-rule'],
      'NAME',
      'how start and end count: a1111, diffusers, comfy, tencentarc (default: as --noise)',
    ),
    '--control',
    '--ip-adapter',
  ),
};

export interface ControlValues {
  readonly control: readonly ControlWords[] | undefined;
  readonly ipAdapter: readonly ControlWords[] | undefined;
  readonly imageEncoder: string | undefined;
  readonly controlRule: string | undefined;
}

/** The fields of the request, before models are opened: for its check. */
export function controlFieldsOf({ control, ipAdapter, controlRule }: ControlValues): object {
  const fields = (words: readonly ControlWords[]) => words.map(({ model, fields: own }) => ({ ...own, model }));
  return {
    ...(control ? { control: fields(control) } : {}),
    ...(ipAdapter ? { imagePrompts: fields(ipAdapter) } : {}),
    ...(controlRule === undefined ? {} : { controlRule }),
  };
}

async function picture(path: string | undefined): Promise<Image | undefined> {
  if (path === undefined) return undefined;
  const { openImage } = await import('../pipelines/image-files-node.ts');
  return openImage(path);
}

/** A face's embedding, or what an image encoder made, in place of a picture: the only tensor of a file. */
const isTensorFile = (path: string): boolean => /\.(safetensors|npy|npz|pt|pth|bin)$/i.test(path);

/** The network of a preprocessor. */
async function annotatorOf(model: Model, path: string | undefined): Promise<OpenAnnotator | undefined> {
  if (path === undefined) return undefined;
  const { createAnnotator, readAnnotator } = await import('../preprocessors/index.ts');
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  return createAnnotator(model.networks.engine, readAnnotator(await openWeightsAt(path)));
}

/** Opens the controls' models and pictures for a model. Dispose of the models. */
export async function openControls(
  model: Model,
  { control = [], ipAdapter = [], imageEncoder }: ControlValues,
): Promise<ControlInputs> {
  const { loadControl } = await import('../model/load-control-node.ts');
  const { referenceControl } = await import('../model/reference-control.ts');
  const opened: { dispose(): Promise<void> }[] = [];
  const open = async ({ model: path, files, fields }: ControlWords) => {
    if (isReferenceMode(fields['preprocessor'])) {
      if (path.toLowerCase() === noControlModel.toLowerCase()) return referenceControl;
      throw new UsageError(
        `--control ${path}: the preprocessor ${fields['preprocessor']} needs no network. Write none=PICTURE,preprocessor=${fields['preprocessor']}.`,
      );
    }
    const loaded = await loadControl(model, path, { imageEncoder: files.encoder ?? imageEncoder });
    opened.push(loaded);
    return loaded;
  };
  try {
    const controls: ControlInputs['control'][number][] = [];
    for (const words of control) {
      if (words.pictures.length > 1)
        throw new UsageError(`--control takes one picture, got ${words.pictures.join(', ')}.`);
      const loaded = await open(words);
      if (loaded.config.kind === 'ip_adapter')
        throw new UsageError(`--control: ${words.model} is an IP-Adapter; give it with --ip-adapter.`);
      controls.push({
        model: loaded,
        picture: await picture(words.pictures[0]),
        mask: await picture(words.files.mask),
        region: await picture(words.files.region),
        annotator: await annotatorOf(model, words.files.annotator),
      });
    }
    const imagePrompts: ControlInputs['imagePrompts'][number][] = [];
    for (const words of ipAdapter) {
      const [first, ...others] = words.pictures;
      const given =
        first !== undefined && isTensorFile(first) && others.length === 0
          ? { embeddings: await (await import('./latents-file.ts')).readEmbeddings(first) }
          : { pictures: (await Promise.all(words.pictures.map(picture))) as Image[] };
      const loaded = await open(words);
      if (loaded.config.kind !== 'ip_adapter')
        throw new UsageError(`--ip-adapter: ${words.model} is no IP-Adapter; give it with --control.`);
      imagePrompts.push({ model: loaded, ...given, region: await picture(words.files.region) });
    }
    return { control: controls, imagePrompts };
  } catch (error) {
    await Promise.all(opened.map((one) => one.dispose()));
    throw error;
  }
}

export async function closeControls({ control, imagePrompts }: ControlInputs): Promise<void> {
  await Promise.all([...control, ...imagePrompts].map(({ model }) => model.dispose()));
}

/** Throws where a record's controls were made with other pictures, or with more or fewer models, than those given now. */
export async function checkControls(
  { control = [], imagePrompts = [], digests }: GenerationRecord,
  given: ControlInputs,
): Promise<void> {
  const { digest } = await import('../pipelines/digest.ts');
  const { digestBytes } = await import('../pipelines/digest.ts');
  const { bytesOf } = await import('../tensor/tensor.ts');
  const named = (list: readonly { readonly model: string }[]): string =>
    list.map(({ model }) => model).join(', ') || 'none';
  if (control.length !== given.control.length || imagePrompts.length !== given.imagePrompts.length)
    throw new UsageError(
      `The picture was made with these controls: ${named(control)}; and image prompts: ${named(imagePrompts)}. Give each with --control MODEL=PICTURE or --ip-adapter MODEL=PICTURE, in this order.`,
    );
  const check = (found: string | undefined, wanted: string | undefined, label: string): void => {
    if (found !== wanted)
      throw new UsageError(
        `The picture of ${label} is not the one that the picture was made with: its pixels have another SHA-256.`,
      );
  };
  for (const [i, one] of given.control.entries())
    check(one.picture && (await digest(one.picture)), digests.control?.[i]?.pictures[0], control[i]?.model ?? '');
  for (const [i, { pictures = [], embeddings }] of given.imagePrompts.entries()) {
    const found = embeddings ? [await digestBytes(bytesOf(embeddings))] : await Promise.all(pictures.map(digest));
    check(found.join(), digests.imagePrompts?.[i]?.pictures.join(), imagePrompts[i]?.model ?? '');
  }
}
