/**
 * Names of models on the internet, as people write them: `hf:ORG/NAME[@REV][/FILE]`, `ORG/NAME`, addresses, `civitai:VERSION`,
 * `civitai:MODEL@VERSION`, AIR (`urn:air:sd1:checkpoint:civitai:4384@128713`) and the short names of `short-names.ts`.
 */

import { StableDiffusionError } from '../errors.ts';
import { shortNames } from './short-names.ts';

export type ModelName =
  | {
      readonly kind: 'hub';
      /** `ORG/NAME`. */
      readonly repository: string;
      /** A branch, tag or commit. */
      readonly revision: string;
      /** A file or a folder of the repository; undefined for the model as a whole. */
      readonly file: string | undefined;
    }
  | { readonly kind: 'civitai'; readonly version: number }
  | { readonly kind: 'address'; readonly url: string };

const part = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}';
const repositoryPattern = new RegExp(`^(${part}/${part})$`);
const hubPattern = new RegExp(`^(${part}/${part})(?:@(refs/pr/\\d{1,9}|[^/@\\s]{1,200}))?(?:/(.{1,1000}))?$`);
const hubAddress = new RegExp(
  `^(?:https?://)?(?:www\\.)?(?:huggingface\\.co|hf\\.co)/(${part}/${part})(?:/(?:resolve|blob|tree|raw)/([^/]{1,200})(?:/([^?#]{1,1000}))?)?/?$`,
  'i',
);
/** A model's page, which names a version in its query or none, and the address of a version's file. */
const civitaiAddress =
  /^(?:https?:\/\/)?(?:www\.)?civitai\.(?:com|green|red)\/(?:models\/\d{1,12}(?:[/?][^#]*)?|api\/download\/models\/(\d{1,12}))(?:#.*)?$/i;
const weightFile = /\.(?:safetensors|ckpt|pt|pth|bin|gguf|json|yaml|yml)$/i;

/** Parses a model name; undefined for a local path. Throws `invalid-argument` for a malformed name. */
export function parseModelName(text: string): ModelName | undefined {
  const short = Object.hasOwn(shortNames, text) ? shortNames[text] : undefined;
  if (short) return parseModelName(short.name);
  if (text.startsWith('hf:')) return hubName(text.replace(/^hf:(?:\/\/)?/, ''), text);
  if (text.startsWith('civitai:')) return civitaiName(text);
  if (/^(?:urn:)?air:/.test(text)) return airName(text);
  const page = civitaiAddress.exec(text);
  if (page) return civitaiPage(page[1] ?? /[?&]modelVersionId=(\d{1,12})\b/.exec(text)?.[1], text);
  const [, repository, revision, file] = hubAddress.exec(text.split(/[?#]/, 1)[0] ?? text) ?? [];
  if (repository !== undefined) return hub(repository, revision && decoded(revision), file && decoded(file), text);
  if (/^https?:\/\//i.test(text)) return { kind: 'address', url: text };
  // A missing local path must not become a request.
  if (repositoryPattern.test(text) && !weightFile.test(text)) return hub(text, undefined, undefined, text);
  return undefined;
}

/** A part of an address without its percent signs. Throws `invalid-argument`. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The address has a percent sign that stands for no letter: ${text}`,
      { cause },
    );
  }
}

function hubName(name: string, text: string): ModelName {
  const [, repository, revision, file] = hubPattern.exec(name) ?? [];
  if (repository === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `${text} is not a name of a model on Hugging Face. It is written hf:ORG/NAME, hf:ORG/NAME@REVISION or hf:ORG/NAME/FILE.`,
    );
  return hub(repository, revision, file, text);
}

function hub(repository: string, revision: string | undefined, file: string | undefined, text: string): ModelName {
  for (const piece of [...(revision ?? '').split('/'), ...(file ?? '').split('/'), ...repository.split('/')])
    if (piece === '..' || piece === '.' || piece.includes('\\') || piece.includes('\0'))
      throw new StableDiffusionError('invalid-argument', `${text} has "${piece}" in it, which no model's name has.`);
  return { kind: 'hub', repository, revision: revision ?? 'main', file: file?.replace(/\/$/, '') };
}

function civitaiPage(version: string | undefined, text: string): ModelName {
  if (version !== undefined) return { kind: 'civitai', version: Number(version) };
  throw new StableDiffusionError(
    'invalid-argument',
    `${text} names a model with several versions. Choose one on its page, and give its address (with modelVersionId) or civitai:VERSION.`,
  );
}

function civitaiName(text: string): ModelName {
  const [, id] = /^civitai:(?:\d{1,12}@)?(\d{1,12})$/.exec(text) ?? [];
  if (id === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `${text} is not a name of a model on Civitai. It is written civitai:VERSION or civitai:MODEL@VERSION.`,
    );
  return { kind: 'civitai', version: Number(id) };
}

const airPattern =
  /^(?:urn:)?air:(?:[\w.-]{1,40}:)?(?:[\w.-]{1,40}:)?(civitai|huggingface):([^@:]{1,200})(?:@([^:]{1,200}?))?(?::[^:]{1,200})?(?:\.(?:safetensors|ckpt|pt|diffusers|gguf))?$/i;

/** An AIR (github.com/civitai/civitai/wiki/AIR). A layer and a format behind the version are passed over. */
function airName(text: string): ModelName {
  const [, source = '', id = '', version] = airPattern.exec(text) ?? [];
  if (source.toLowerCase() === 'huggingface' && repositoryPattern.test(id)) return hub(id, version, undefined, text);
  if (source.toLowerCase() === 'civitai' && /^\d{1,12}$/.test(id) && (!version || /^\d{1,12}$/.test(version)))
    return civitaiPage(version, text);
  throw new StableDiffusionError(
    'invalid-argument',
    `${text} is not an AIR of a model. It is written urn:air:FAMILY:KIND:civitai:MODEL@VERSION or urn:air:FAMILY:KIND:huggingface:ORG/NAME@REVISION.`,
  );
}
