/**
 * The files of a repository that form the model: by `model_index.json` the parts of a diffusers folder, each in one form, `.safetensors`
 * before pickled ones; else the one checkpoint at the top. Repositories hold the same weights several times over.
 */

import { StableDiffusionError } from '../errors.ts';
import type { HubFile } from './hub-file.ts';

export interface Choice {
  readonly files: readonly HubFile[];
  /** The file or folder, in the repository, that is opened as the model; empty for its top. */
  readonly open: string;
}

export interface ChooseOptions {
  /** The requested part of the repository. */
  readonly file?: string | undefined;
  /** `fp16`: files of this variant where a part has them. */
  readonly variant?: string | undefined;
}

/** The used parts; others in `model_index.json` are ignored. */
const parts = [
  'unet',
  'vae',
  'text_encoder',
  'text_encoder_2',
  'image_encoder',
  'image_normalizer',
  'safety_checker',
  'watermarker',
];
const plainFolders = [
  'tokenizer',
  'tokenizer_2',
  'scheduler',
  'low_res_scheduler',
  'image_noising_scheduler',
  'feature_extractor',
];
const bases = ['diffusion_pytorch_model', 'model', 'pytorch_model', 'open_clip_model'];
const weights = /\.(?:safetensors|ckpt|pt|pth|bin)$/i;

/** Throws `not-found` if a file is missing, and `invalid-argument` if the choice is ambiguous. */
export function chooseFiles(repository: string, all: readonly HubFile[], options: ChooseOptions = {}): Choice {
  const { file, variant } = options;
  if (file !== undefined) {
    const exact = all.find(({ path }) => path === file);
    if (exact) return { files: [exact, ...besides(all, file)], open: file };
    const inside = all.filter(({ path }) => path.startsWith(`${file}/`));
    if (inside.length > 0) return { files: folderFiles(inside, file, variant), open: file };
    throw missing(repository, all, file);
  }
  if (all.some(({ path }) => path === 'model_index.json')) return { files: modelFiles(all, variant), open: '' };
  if (all.some(({ path }) => path === 'config.json') && formOf(all, '', variant).length > 0)
    return { files: folderFiles(all, '', variant), open: '' };
  return single(repository, all);
}

function modelFiles(all: readonly HubFile[], variant: string | undefined): HubFile[] {
  const within = (folder: string): readonly HubFile[] => all.filter(({ path }) => path.startsWith(`${folder}/`));
  return [
    ...all.filter(({ path }) => path === 'model_index.json'),
    ...parts.flatMap((part) => folderFiles(within(part), part, variant)),
    ...plainFolders.flatMap((folder) => within(folder).filter(({ path }) => /\.(?:json|txt|model)$/.test(path))),
  ];
}

/** A folder's configuration and its weights in one form. */
function folderFiles(files: readonly HubFile[], folder: string, variant: string | undefined): HubFile[] {
  const config = files.filter(({ path }) => path === join(folder, 'config.json'));
  const others = files.filter(({ path }) => parentOf(path) === folder && /\.(?:txt|json)$/.test(path));
  const form = formOf(files, folder, variant);
  return form.length > 0 ? [...config, ...form] : others;
}

/** The weights of a folder: the variant if it exists, one file before shards, `.safetensors` before `.bin`. */
function formOf(files: readonly HubFile[], folder: string, variant: string | undefined): HubFile[] {
  const at = (name: string): HubFile | undefined => files.find(({ path }) => path === join(folder, name));
  const variants = variant === undefined ? [''] : [`.${variant}`, ''];
  for (const part of variants)
    for (const ending of ['safetensors', 'bin'])
      for (const base of bases) {
        const whole = at(`${base}${part}.${ending}`);
        if (whole) return [whole];
        const index = at(`${base}.${ending}.index${part}.json`) ?? at(`${base}${part}.${ending}.index.json`);
        const shard = new RegExp(`^${base}${part.replace('.', '\\.')}-\\d{5}-of-\\d{5}\\.${ending}$`);
        const late = new RegExp(`^${base}-\\d{5}-of-\\d{5}${part.replace('.', '\\.')}\\.${ending}$`);
        if (index)
          return [
            index,
            ...files.filter(({ path }) => {
              const name = path.slice(folder === '' ? 0 : folder.length + 1);
              return shard.test(name) || late.test(name);
            }),
          ];
      }
  return [];
}

/** The checkpoint at the top of a repository. */
function single(repository: string, all: readonly HubFile[]): Choice {
  const top = all.filter(({ path }) => !path.includes('/') && weights.test(path));
  for (const pattern of [/\.safetensors$/i, weights]) {
    const of = top.filter(({ path }) => pattern.test(path));
    const pruned = of.filter(({ path }) => /pruned-emaonly|emaonly/i.test(path));
    const [only, ...more] = of.length > 1 && pruned.length > 0 ? pruned : of;
    if (only && more.length === 0) return { files: [only, ...besides(all, only.path)], open: only.path };
    if (only) throw ambiguous(repository, of);
  }
  throw missing(repository, all, undefined);
}

/** `NAME.yaml` next to a checkpoint. */
function besides(all: readonly HubFile[], file: string): readonly HubFile[] {
  const yaml = file.replace(/\.[^./]+$/, '.yaml');
  return yaml === file || !weights.test(file) ? [] : all.filter(({ path }) => path === yaml);
}

const join = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
const parentOf = (path: string): string => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');

const listed = (files: readonly HubFile[]): string =>
  files
    .slice(0, 12)
    .map(({ path, size }) => `${path} (${(size / 1e9).toFixed(2)} GB)`)
    .join(', ');

function ambiguous(repository: string, files: readonly HubFile[]): StableDiffusionError {
  return new StableDiffusionError(
    'invalid-argument',
    `${repository} holds several checkpoints: ${listed(files)}. Name one of them: hf:${repository}/${files[0]?.path}.`,
  );
}

function missing(repository: string, all: readonly HubFile[], file: string | undefined): StableDiffusionError {
  const found = all.filter(({ path }) => weights.test(path));
  return new StableDiffusionError(
    'not-found',
    `${repository} holds no ${file ?? 'weights at its top'}. ${found.length > 0 ? `There are ${listed(found)}.` : 'It has no weights at all.'}`,
  );
}
