/** The state of the page: immutable plain data. */

import type { EngineChoice } from './engines/choose-engine.ts';
import type { PictureEngine, PictureJob } from './engines/picture-engine.ts';
import type { AxisChoice, Grid } from './grid/grid-run.ts';
import type { Picture } from './history/picture-database.ts';
import type { Settings, Task } from './settings/settings.ts';
import type { WorkflowFile } from './workflow/opened-workflow.ts';

export const views = ['create', 'gallery', 'grid', 'workflow', 'compare'] as const;
export type View = (typeof views)[number];

/** A job under way. */
export interface Run {
  readonly status: string;
  /** 0 … 1, where it is known. */
  readonly share?: number;
  readonly done: number;
  readonly total: number;
  /** Milliseconds, of the first step. */
  readonly stepsBegan?: number;
  readonly previews: readonly (ImageBitmap | undefined)[];
  readonly settings: Settings;
}

interface Notice {
  readonly kind: 'error' | 'info';
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

/** A job that waits for the one under way. */
export interface QueuedJob {
  readonly id: string;
  readonly job: PictureJob;
  readonly model: string;
}

export interface StudioState {
  readonly view: View;
  readonly task: Task;
  readonly settings: Settings;
  /** The initial picture, and its mask (PNG, white is regenerated). */
  readonly initial?: Blob;
  readonly mask?: Blob;
  /** The pictures of control units, by their ids. */
  readonly controlPictures: Readonly<Record<string, Blob>>;
  readonly choice: EngineChoice;
  readonly engine?: PictureEngine;
  readonly connecting: boolean;
  readonly model: string;
  readonly run?: Run;
  /** Jobs that wait, the next one first. */
  readonly queue: readonly QueuedJob[];
  /** The pictures of the last job. */
  readonly made: readonly Picture[];
  /** Id of the one of them that is looked at; undefined for the first. */
  readonly shown?: string;
  readonly history: readonly Picture[];
  readonly historyLoaded: boolean;
  readonly compared: readonly [string | undefined, string | undefined];
  /** The axes of an X/Y grid, across and down. */
  readonly axes: readonly [AxisChoice, AxisChoice];
  /** The last grid. */
  readonly grid?: Grid;
  readonly dialog?: 'engine' | 'shortcuts' | 'adapters' | 'styles';
  readonly notice?: Notice;
  /** The workflow that is open. */
  readonly workflow?: WorkflowFile;
  /** A dropped picture, to ask the user about. */
  readonly dropped?: File;
}
