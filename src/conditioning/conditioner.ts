/**
 * Conditioners: what a caller gives for each picture (texts, classes, sizes) becomes named inputs of the denoiser.
 *
 * One file a kind, one row of the table in `conditioners.ts`. Kinds compose (`composed.ts`): a model with two text encoders has one
 * conditioner made of several.
 */

import type { CondStageConfig } from '../config/latent-diffusion-config.ts';
import type { Params, Sym } from '../graph/trace.ts';
import type { NetworkSymbols } from '../models/trace-network.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { BertTokenizer } from '../tokenizer/bert-tokenizer.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import type { ClipTokenizerFiles } from '../tokenizer/clip-tokenizer-files.ts';
import type { SentencePieceTokenizer } from '../tokenizer/sentencepiece/tokenizer.ts';
import type { Box, LayoutObject } from './box-tokens.ts';

/** The conditions of a batch, one value per picture. A model reads the fields it needs. */
export interface Given {
  readonly texts?: readonly string[] | undefined;
  /** Of a model with two text encoders: texts for the second one. Default: the same. */
  readonly secondTexts?: readonly string[] | undefined;
  readonly classes?: readonly number[] | undefined;
  readonly sizes?: readonly PictureSizes[] | undefined;
  readonly layouts?: readonly Layout[] | undefined;
}

/** The objects of a picture. */
export interface Layout {
  readonly objects: readonly LayoutObject[];
  /** Number of classes, for the tokens of groups and modified objects, and to refuse classes that do not exist. */
  readonly objectClasses?: number | undefined;
  /** The part of the picture to make, left, top, width, height as shares. Default: all of it. */
  readonly window?: Box | undefined;
}

/** SDXL's size conditions of a picture, in pixels. */
export interface PictureSizes {
  /** Height and width before it was cropped and resized. */
  readonly original: readonly [height: number, width: number];
  readonly crop: readonly [top: number, left: number];
  readonly target: readonly [height: number, width: number];
  /** Aesthetic score, for the refiner. Default 6. */
  readonly aesthetic?: number | undefined;
}

export type Tokenizer = ClipTokenizer | BertTokenizer | SentencePieceTokenizer;

/** Contents of the files next to a model. */
export interface TokenizerFiles {
  /** `vocab.txt` of a BERT tokenizer. */
  readonly vocabulary?: string | undefined;
  /** CLIP tokenizers' folders by the part of their text encoder. Without one the tokenizer has CLIP's own merges, as far as the embedding's rows reach. */
  readonly clip?: Readonly<Record<string, ClipTokenizerFiles | undefined>> | undefined;
  /** SentencePiece's files in the model's folder `tokenizer/`. */
  readonly sentencePiece?: SentencePieceFiles | undefined;
}

/** One of the two forms; the first is used if both exist. */
export interface SentencePieceFiles {
  /** `spiece.model`. */
  readonly model?: Uint8Array | undefined;
  /** `tokenizer.json`. */
  readonly json?: string | undefined;
}

export interface EncodeOptions {
  /** T5: prompts are cleaned as captions (`clean-caption.ts`); false puts them in lower case only. Default true. */
  readonly cleanCaption?: boolean | undefined;
  /** 1 (default) takes the text encoder's usual layer, 2 the one before it, …. Only CLIP's text encoders have it. */
  readonly clipSkip?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Runs the network of a part, by its graph's names of inputs and outputs. */
export type RunPart = (
  part: string,
  outputs: readonly string[],
  inputs: NetworkInputs,
  signal?: AbortSignal,
) => Promise<Readonly<Record<string, Tensor>>>;

export interface ConditionerContext {
  /** Names the model in errors. */
  readonly label: string;
  readonly run: RunPart;
  /** By the part of the text encoder. */
  readonly tokenizers: ReadonlyMap<string, Tokenizer>;
  /** Tokens that a text is padded or cut to. */
  readonly maxLength: number;
}

/** Encodes sequences of tokens, for prompt syntaxes that build their own sequences. */
export interface TextEncoding {
  readonly tokenizer: Tokenizer;
  /** Tokens of one sequence, with the start and the end. */
  readonly length: number;
  /** True if the result has a vector per token, so that weights of words can apply to it. */
  readonly perToken: boolean;
  /** Rows of token ids, padded as by `tokenizer` → what each text encoder makes of them, a record for each encoder. */
  encodeIds(rows: readonly (readonly number[])[], options?: EncodeOptions): Promise<readonly NetworkInputs[]>;
}

export interface Conditioner {
  /** The field of `Given` that it reads. */
  readonly takes: 'texts' | 'classes' | 'layouts' | 'maps' | 'nothing';
  /** The unconditional input for guidance. Undefined for a model trained without one, which cannot be guided. */
  readonly empty: Given | undefined;
  readonly text?: TextEncoding | undefined;
  /** It has a second text encoder, which reads `secondTexts`. Default false. */
  readonly readsSecondTexts?: boolean | undefined;
  /** The inputs for a batch. Throws `invalid-argument` for a field that is missing, or a value that the model cannot take. */
  encode(given: Given, options?: EncodeOptions): Promise<NetworkInputs>;
  /** The inputs from what each text encoder made, in the order of `text.encodeIds`. */
  join(parts: readonly NetworkInputs[], given: Given): NetworkInputs | Promise<NetworkInputs>;
  /** Zeros in place of the encoded text for these rows: what a model takes for an empty negative prompt. Undefined if it takes the encoded empty text. */
  readonly zeroEmpty?: ((inputs: NetworkInputs, rows: readonly boolean[]) => NetworkInputs) | undefined;
}

/** The parts of a model that a conditioner reads. */
export interface ConditionedModel {
  /** Names the model in errors. */
  readonly label: string;
  readonly conditioner: Conditioner;
}

/** A kind of conditioner: a row of the table. */
export interface ConditionerKind<C> {
  readonly takes: Conditioner['takes'];
  /** The condition in a graph, for training: texts and layouts as `input_ids` int64 [b, tokens], classes as `class` int64 [b], maps as `map` float32 [b, classes, h, w]. Undefined for a kind that cannot be trained with. */
  readonly trace?: (p: Params, config: C, given: NetworkSymbols) => Readonly<Record<string, Sym>>;
  /** Number of classes, for kinds that take classes. */
  readonly classes?: (config: C) => number;
  /** The tokenizers by the part of their text encoder; none where the files do not suffice. A promise where a vocabulary is loaded first. */
  readonly tokenizers?: (
    config: C,
    files: TokenizerFiles,
    part: string,
  ) => ReadonlyMap<string, Tokenizer> | Promise<ReadonlyMap<string, Tokenizer>>;
  readonly create: (config: C, part: string, context: ConditionerContext) => Conditioner;
}

export type ConditionerKinds = {
  readonly [K in CondStageConfig['kind']]: ConditionerKind<Extract<CondStageConfig, { readonly kind: K }>>;
};
