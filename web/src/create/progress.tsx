/** Progress of a job: a bar, and the remaining time. */

import type { Run } from '../studio-state.ts';

function seconds(value: number): string {
  if (value < 10) return `${value.toFixed(1)} s`;
  return value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`;
}

export function Progress({ run }: { readonly run: Run }) {
  const { status, share, done, total, stepsBegan } = run;
  const sampling = status === 'Sampling' && total > 0;
  const at = sampling ? done / total : share;
  const perStep =
    sampling && stepsBegan !== undefined && done > 1 ? (performance.now() - stepsBegan) / 1000 / (done - 1) : undefined;
  const count = run.settings.batchSize;
  const text = sampling ? `Step ${Math.ceil(done / count)} of ${Math.ceil(total / count)}` : status;
  return (
    <div className="progress">
      <div className="progress-line">
        <progress aria-label="Progress" {...(at === undefined ? {} : { value: at })} max={1} />
      </div>
      <p role="status">
        <span>{text}</span>
        {perStep !== undefined && <span className="muted">{seconds(perStep * (total - done))} left</span>}
        {!sampling && share !== undefined && <span className="muted">{Math.round(share * 100)} %</span>}
      </p>
    </div>
  );
}
