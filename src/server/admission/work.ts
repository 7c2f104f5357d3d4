/** Work: what a job costs the runner, in pixels of network calls. It is the unit of fair shares and of the limit for one job. */

import type { JobRequest, NewJob } from '../job.ts';

type Costly = Pick<JobRequest, 'width' | 'height' | 'steps' | 'guidanceScale' | 'prompts'> & {
  /** Of outpainting. */
  readonly parts?: JobRequest['parts'];
  readonly control?: readonly unknown[] | undefined;
  readonly hires?: { readonly width: number; readonly height: number; readonly steps?: number | undefined } | undefined;
};

/** Guidance calls the network twice a step, with and without the prompt. */
const calls = (guidanceScale: number): number => (guidanceScale === 1 ? 1 : 2);

/** A control network is half of the denoiser. */
const networks = (control: Costly['control'] = []): number => 1 + control.length / 2;

/** Work of one step of some pictures. */
export const workOfStep = (
  { width, height, guidanceScale, control }: Pick<Costly, 'width' | 'height' | 'guidanceScale' | 'control'>,
  pictures: number,
): number => width * height * calls(guidanceScale) * networks(control) * pictures;

/** Work of a whole job of any kind. */
export const workOfJob = ({ request }: Pick<NewJob, 'request'>): number =>
  request.task === 'workflow' ? request.work : workOf(request);

/** Work of a job that makes pictures: steps x pixels x pictures, twice with guidance, half more for each control, and the second pass of "hires. fix". */
export function workOf(request: Costly): number {
  const { prompts, steps, guidanceScale, control, hires, parts = [request] } = request;
  const second = hires ? (hires.steps ?? steps) * workOfStep({ ...hires, guidanceScale, control }, prompts.length) : 0;
  const first = parts.reduce(
    (sum, { width, height }) => sum + steps * workOfStep({ width, height, guidanceScale, control }, prompts.length),
    0,
  );
  return first + second;
}
