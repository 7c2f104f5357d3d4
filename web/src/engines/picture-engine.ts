/** PictureEngine: what makes the pictures. Three implementations: this browser, a server's jobs API, and a server that speaks A1111's. */

import type { PlainSeed } from 'stable-diffusion-ts/random/plain-seed.ts';
import type { PromptSyntax, Settings, Task } from '../settings/settings.ts';

export interface PictureJob {
  readonly task: Task;
  /** With a seed and a size. */
  readonly settings: Settings;
  /** The initial picture, for img2img and inpaint. */
  readonly image?: Blob;
  /** PNG; white is regenerated, black is kept. */
  readonly mask?: Blob;
  /** Pictures of the settings' control units, by their ids. */
  readonly controlPictures?: Readonly<Record<string, Blob>>;
  readonly previews: boolean;
  /** Id of an accepted server job, to follow it rather than submit it again. */
  readonly id?: string;
}

/** A job that continued while the page was reloaded. */
export interface UnfinishedJob {
  readonly model: string;
  readonly job: PictureJob;
}

export interface FinishedPicture {
  /** With its settings inside. */
  readonly file: Blob;
  readonly seed: PlainSeed;
  /** Seed of its variation, where it is known. */
  readonly subseed?: PlainSeed;
  /** The safety checker has objected, and the picture is black. */
  readonly flagged?: boolean;
}

export type JobEvent =
  /** The current activity, outside of sampling steps. */
  | { readonly kind: 'status'; readonly text: string /** 0 … 1, where it is known */; readonly share?: number }
  /** Progress over all pictures of the job. */
  | { readonly kind: 'step'; readonly done: number; readonly total: number }
  | { readonly kind: 'preview'; readonly index: number; readonly bitmap: ImageBitmap }
  | { readonly kind: 'pictures'; readonly pictures: readonly FinishedPicture[] };

export interface ModelChoice {
  readonly name: string;
  /** Native size in pixels, and the divisor of sides; unknown until it is opened. */
  readonly size?: number;
  readonly unit?: number;
  /** How it reads prompts; unknown until it is opened. */
  readonly promptSyntaxes?: readonly PromptSyntax[];
  /** What it can make; all where it is unknown. */
  readonly tasks?: readonly Task[];
}

export interface EngineFacts {
  readonly models: readonly ModelChoice[];
  readonly samplers: readonly string[];
  readonly schedules: readonly string[];
}

/** A LoRA or a textual inversion to choose. */
export interface AdapterChoice {
  readonly kind: 'lora' | 'embedding';
  readonly name: string;
  readonly triggerWords: readonly string[];
  /** The strength its maker advises. */
  readonly weight?: number;
  readonly preview?: () => Promise<Blob>;
}

/** Texts for a prompt under a name. */
export interface StyleChoice {
  readonly name: string;
  /** `{prompt}` is the place of the prompt; without it the text comes behind. */
  readonly prompt: string;
  readonly negativePrompt: string;
}

/** Control networks and preprocessors to choose from. */
export interface ControlChoices {
  readonly models: readonly {
    readonly title: string;
    /** It takes a picture as a prompt, not a map. */
    readonly isImagePrompt: boolean;
    /** The preprocessor that usually makes its map. */
    readonly preprocessor: string;
  }[];
  readonly modules: readonly { readonly name: string; readonly label: string }[];
  /** Modes in which the model itself looks at a reference picture, without a network: those of the entry `noNetwork`. */
  readonly references: readonly string[];
}

/** A picture in a server's output folder. */
export interface ServerPicture {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly thumbnail: () => Promise<Blob>;
  readonly whole: () => Promise<Blob>;
}

export interface ServerGallery {
  readonly pictures: readonly ServerPicture[];
  /** The name of the last one, if there are several. */
  readonly next?: string;
  /** False for a server without an output folder. */
  readonly isKept: boolean;
}

export interface PictureEngine {
  /** Label of where it computes: "This server", "This browser · WebGPU". */
  readonly title: string;
  readonly facts: EngineFacts;
  /** Makes a job's pictures with a model. Throws an Error whose message is for people; an AbortError-like one where it was cancelled. */
  generate(model: string, job: PictureJob, signal: AbortSignal): AsyncGenerator<JobEvent, void, void>;
  /** What can be named in prompts. */
  adapters?(): Promise<readonly AdapterChoice[]>;
  /** Styles of prompts; absent where there are none. */
  styles?(): Promise<readonly StyleChoice[]>;
  /** Control networks; absent where pictures are made without. */
  controls?(): Promise<ControlChoices>;
  /** What a preprocessor makes of a picture. */
  controlMap?(preprocessor: string, picture: Blob): Promise<Blob>;
  /** The pictures that the server keeps, newest first. */
  gallery?(before?: string): Promise<ServerGallery>;
  /** The job of this tab from before a reload, if it still exists. */
  unfinished?(): UnfinishedJob | undefined;
  dispose(): void;
}

/** True if an error only means that the user cancelled. */
export function isAbort(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'AbortError' || ('code' in error && error.code === 'aborted');
}
