/**
 * A preprocessor: a picture to the map that a control network or an adapter was trained on (edges, lines, depth, a pose). Names, settings and
 * results are those of sd-webui-controlnet 1.1.455.
 */

import type { Image } from '../image/image.ts';
import type { Annotator } from '../models/annotators/annotator.ts';

/** A number that a preprocessor takes besides the resolution. */
export interface PreprocessorSetting {
  readonly title: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly default: number;
}

export interface PreprocessOptions {
  /** Pixels of the shorter side at which the map is made. Default 512. Preprocessors whose `usesResolution` is false work at the picture's size. */
  readonly resolution?: number | undefined;
  /** The preprocessor's first setting (`threshold_a` of the extension). Default: its own. */
  readonly a?: number | undefined;
  /** Its second setting (`threshold_b`). */
  readonly b?: number | undefined;
  /** Seed of preprocessors that draw random numbers (`shuffle`), 0 to 2^32 - 1. Default 0. */
  readonly seed?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options with every default filled in. */
export interface PreprocessSettings {
  readonly resolution: number;
  readonly a: number;
  readonly b: number;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

interface Common {
  readonly name: string;
  /** As the extension shows it; requests may use it instead of the name. */
  readonly title: string;
  /** Control types that use it, as the extension groups them. */
  readonly types: readonly string[];
  readonly usesResolution: boolean;
  readonly a?: PreprocessorSetting;
  readonly b?: PreprocessorSetting;
}

/** One that needs no weights. */
export interface PlainPreprocessor extends Common {
  readonly network?: undefined;
  readonly run: (image: Image, settings: PreprocessSettings) => Image;
}

/** One whose map a network makes: `network` names the kind (`models/annotators/`), which is recognised from its published file. */
export interface NetworkPreprocessor extends Common {
  readonly network: string;
  readonly run: (image: Image, settings: PreprocessSettings, annotator: Annotator) => Promise<Image>;
}

export type Preprocessor = PlainPreprocessor | NetworkPreprocessor;
