/** A row of the table of kinds of files, and sentences that several rows say. */

/** Parts of names that one file must have. `^` stands for the start of a name, behind `model.diffusion_model.` and its like. */
export type Mark = string | readonly string[];

export interface FileKind {
  /** For programs: stable. */
  readonly id: string;
  /** For people, with its article: `an AuraFlow model`. */
  readonly name: string;
  /** What to do with it, a sentence. Default: what this program makes pictures with. */
  readonly use?: string;
  /** One of them is enough; one that is a list needs all of its parts. */
  readonly marks: readonly Mark[];
}

export const steers = 'Give it with --control, together with a model.';
export const enlarges = 'Enlarge pictures with it: sd upscale.';
export const reads = 'It describes or judges pictures and makes none.';
export const moves = 'It moves pictures and makes none alone.';
const listed = (models: readonly string[]): string => models.join(', ').replace(/, ([^,]*)$/, ' and $1');
export const prompts = (...models: readonly string[]): string =>
  `It reads prompts for ${listed(models)}, which this program does not run.`;
export const latents = (...models: readonly string[]): string =>
  `It encodes pictures for ${listed(models)}, which this program does not run.`;
