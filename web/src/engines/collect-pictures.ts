/** Follows a job of an engine: its progress for the page, its pictures for the history. */

import { newId } from '../history/new-id.ts';
import type { Picture } from '../history/picture-database.ts';
import { withVariationSeed } from '../settings/extra-settings.ts';
import type { Run } from '../studio-state.ts';
import type { FinishedPicture, PictureEngine, PictureJob } from './picture-engine.ts';

export interface Collecting {
  readonly engine: PictureEngine;
  readonly model: string;
  readonly job: PictureJob;
  readonly signal: AbortSignal;
  /** Called with the state of the job whenever it changes. */
  readonly show: (run: Run) => void;
  /** The pictures go here as they come, so that those of a cancelled job are not lost. */
  readonly made: Picture[];
}

/** Runs the job to its end. Throws what the engine throws. */
export async function collectPictures({ engine, model, job, signal, show, made }: Collecting): Promise<void> {
  const began = performance.now();
  let run: Run = { status: 'Starting', done: 0, total: 0, previews: [], settings: job.settings };
  const change = (patch: Partial<Run>): void => {
    run = { ...run, ...patch };
    show(run);
  };
  const pictureOf = ({ file, seed, subseed, flagged }: FinishedPicture): Picture => ({
    id: newId(),
    createdAt: Date.now(),
    task: job.task,
    settings: {
      ...job.settings,
      seed,
      batchSize: 1,
      ...(subseed === undefined ? {} : { extra: withVariationSeed(job.settings.extra, subseed) }),
    },
    model,
    engine: engine.title,
    seconds: (performance.now() - began) / 1000,
    file,
    flagged,
  });
  change({});
  for await (const event of engine.generate(model, job, signal)) {
    if (event.kind === 'status') change({ status: event.text, share: event.share });
    else if (event.kind === 'step') {
      const { done, total } = event;
      change({ status: 'Sampling', done, total, stepsBegan: run.stepsBegan ?? performance.now() });
    } else if (event.kind === 'preview') {
      const previews = [...run.previews];
      previews[event.index] = event.bitmap;
      change({ previews });
    } else made.push(...event.pictures.map(pictureOf));
  }
}
