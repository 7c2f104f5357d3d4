/** What the files that make jobs share: a job under way, its pictures, and what surrounds them. */

import type { Model } from '../../model/model.ts';
import type { Job, PictureJob, ResultImage } from '../job.ts';
import type { ModelPool } from '../models/model-pool.ts';
import type { JobQueue } from '../queue/queue.ts';
import type { PictureFolder } from '../store/picture-folder.ts';
import type { ControlContext, JobControls } from './open-controls.ts';
import type { PicturePolicy } from './pipeline-of.ts';
import type { PreparedPictures } from './prepare-pictures.ts';
import type { Turns } from './turns.ts';
import type { WorkflowMaker } from './workflow-maker.ts';

export interface RunContext extends ControlContext {
  readonly queue: JobQueue;
  readonly models: ModelPool;
  readonly policy: PicturePolicy;
  /** Where people find their pictures; undefined for nowhere but the store. */
  readonly outputs: PictureFolder | undefined;
  readonly onTroubleSaving: (error: unknown) => void;
  /** Most pictures in one run of the program. */
  readonly maxBatch: number;
  /** Seconds of work on one job, without the time in which it waits for others. */
  readonly jobSeconds: number;
  /** Most steps of one picture, for samplers that choose them. */
  readonly maxSteps: number;
  readonly turns: Turns;
  readonly workflows: WorkflowMaker;
  readonly hashOf: (model: string) => Promise<string | null>;
  readonly now: () => number;
  readonly onOutcome: (
    job: Job,
    outcome: 'done' | 'failed' | 'cancelled' | 'lost',
    seconds: number,
    batch: number,
  ) => void;
  readonly onError: (job: Job, error: unknown) => void;
  /** Time in which a pipeline made something: without what the server does with it. */
  readonly onSampling: (seconds: number) => void;
}

/** A job under way. */
export interface Work {
  readonly job: PictureJob;
  readonly images: (ResultImage | undefined)[];
  stop?: 'cancel' | 'interrupt';
  skip: boolean;
  /** Until when previews are wanted. */
  watchedUntil: number;
  finished: boolean;
  interrupted: boolean;
  stepsDone: number;
  readonly stepsTotal: number;
  /** Seconds of work so far. */
  secondsSpent: number;
  readonly pictures: Partial<PreparedPictures>;
  /** Of each picture of a batch, where each starts from its own. */
  readonly ofEach: PreparedPictures[];
  /** Undefined for a job without controls. */
  controls?: JobControls | undefined;
}

export interface Picture {
  readonly work: Work;
  readonly index: number;
}

/** What a run of the program has for its pictures. */
export interface ChunkContext {
  readonly context: RunContext;
  readonly model: Model;
  /** The model that ends a run. */
  readonly refiner?: Model | undefined;
  readonly modelHash: string | null;
  readonly modelName: string;
  /** What the record in a picture names: never where the file lies. */
  readonly modelFile: string;
  readonly signal: AbortSignal;
  readonly fail: (work: Work, error: unknown) => Promise<void>;
}

/** What a picture of a job starts from. */
export function picturesOf({ work, index }: Picture): Work['pictures'] {
  return work.ofEach[index % work.job.request.batchSize] ?? work.pictures;
}

/** A job at its beginning. */
export function workOn(job: PictureJob): Work {
  const { prompts, steps, hires, parts } = job.request;
  return {
    job,
    images: prompts.map(() => undefined),
    skip: false,
    watchedUntil: 0,
    finished: false,
    interrupted: false,
    stepsDone: 0,
    stepsTotal: prompts.length * ((parts?.length ?? 1) * steps + (hires ? (hires.steps ?? steps) : 0)),
    secondsSpent: 0,
    pictures: {},
    ofEach: [],
  };
}
