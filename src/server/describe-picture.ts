/** Words for a picture by the server's networks, as A1111's "Interrogate" buttons make them (modules/interrogate.py and deepbooru.py of v1.10.1). */

import type { CaptionOptions } from '../describing/caption.ts';
import { fittingWords, wordsText } from '../describing/categories.ts';
import { type Describer, openDescriber, openWordRanker } from '../describing/open-node.ts';
import { tagText, type TagTextOptions } from '../describing/tags.ts';
import { StableDiffusionError } from '../errors.ts';
import type { DescriberNetwork } from '../models/describers/index.ts';
import type { ServerContext } from './context.ts';
import type { Caller } from './http/picture-input.ts';
import { describerKind, wordRankerKind } from './models/describers.ts';

type Given = Pick<ServerContext, 'controls' | 'controlPool' | 'pictures' | 'wordLists'>;
type Kind = DescriberNetwork['kind'];

/** Names under which the networks are published. */
const files: Readonly<Record<Kind, string>> = {
  captioner: 'model_base_caption_capfilt_large.pth with vocab.txt of bert-base-uncased',
  tagger: 'model-resnet_custom_v3.pt',
};

/** Throws `not-found` where the server has no network of the kind. */
function demand({ controls }: Given, kind: Kind, model: string): void {
  if (controls.annotatorPath(describerKind({ kind })) !== undefined) return;
  throw new StableDiffusionError(
    'not-found',
    `Model not found: this server has no network that describes pictures for ${JSON.stringify(model)}. Its operator can put ${files[kind]} into a folder of --annotators.`,
  );
}

function withDescriber<T>(
  { controlPool }: Given,
  kind: Kind,
  caller: Caller,
  work: (describer: Describer) => Promise<T>,
): Promise<T> {
  const name = describerKind({ kind });
  return controlPool.withNetwork(name, (engine, pathOf) => openDescriber(engine, pathOf(name)), caller, work);
}

export interface WordOptions {
  /** Words of a list that are looked at, 0 for all. */
  readonly limit: number;
  /** Lists that are left out. */
  readonly skipped: readonly string[];
  /** With their shares. */
  readonly shares: boolean;
}

/** The words of the server's lists that fit; none where it has no CLIP for them. */
async function fitting(
  given: Given,
  bytes: Uint8Array,
  { limit, skipped, shares }: WordOptions,
  caller: Caller,
): Promise<string> {
  const lists = given.wordLists.filter(({ name }) => !skipped.includes(name));
  if (lists.length === 0 || given.controls.annotatorPath(wordRankerKind) === undefined) return '';
  return given.controlPool.withNetwork(
    wordRankerKind,
    (engine, pathOf) => openWordRanker(engine, pathOf(wordRankerKind)),
    caller,
    async (clip) => {
      const square = await given.pictures.run('square', { bytes, fit: 'centre', side: clip.side ?? 224 }, caller);
      return wordsText(await fittingWords(clip, square, lists, { limit, signal: caller.signal }), shares);
    },
  );
}

export interface DescribeOptions {
  readonly caption: Omit<CaptionOptions, 'signal'>;
  readonly words: WordOptions;
  readonly tags: TagTextOptions;
}

/** What each name of A1111's `model` makes of a picture. */
const describers: Readonly<
  Record<
    string,
    { kind: Kind; run: (given: Given, bytes: Uint8Array, options: DescribeOptions, caller: Caller) => Promise<string> }
  >
> = {
  clip: {
    kind: 'captioner',
    async run(given, bytes, { caption, words }, caller) {
      const sentence = await withDescriber(given, 'captioner', caller, async (describer) => {
        if (describer.kind !== 'captioner') return '';
        const square = await given.pictures.run('square', { bytes, fit: 'stretch', side: describer.side }, caller);
        return describer.caption(square, { ...caption, signal: caller.signal });
      });
      return sentence + (await fitting(given, bytes, words, caller));
    },
  },
  deepdanbooru: {
    kind: 'tagger',
    run: (given, bytes, { tags }, caller) =>
      withDescriber(given, 'tagger', caller, async (describer) => {
        if (describer.kind !== 'tagger') return '';
        const square = await given.pictures.run('square', { bytes, fit: 'fill', side: describer.side }, caller);
        return tagText(await describer.tags(square, caller.signal), tags);
      }),
  },
};

/** How the server describes pictures under a name. Throws `not-found` for a name that A1111 does not have, and where the network is missing. */
export function describerNamed(
  given: Given,
  model: string,
): (bytes: Uint8Array, options: DescribeOptions, caller: Caller) => Promise<string> {
  const found = Object.hasOwn(describers, model) ? describers[model] : undefined;
  if (!found)
    throw new StableDiffusionError(
      'not-found',
      `Model not found: no network that describes pictures is called ${JSON.stringify(model)}; there are ${Object.keys(describers).join(' and ')}.`,
    );
  demand(given, found.kind, model);
  return (bytes, options, caller) => found.run(given, bytes, options, caller);
}
