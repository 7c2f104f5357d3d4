/** The jobs that wait for the one under way, each with a button that takes it out. */

import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';

export function QueueList() {
  const { queue } = useStudio();
  if (queue.length === 0) return null;
  return (
    <section className="queue" aria-label="Queue">
      <div className="queue-head">
        <h2>
          {queue.length} {queue.length === 1 ? 'job waits' : 'jobs wait'}
        </h2>
        <button type="button" className="quiet small" onClick={() => studio.waiting.clear()}>
          Remove all
        </button>
      </div>
      <ol>
        {queue.map(({ id, job: { settings } }) => (
          <li key={id}>
            <span className="queue-words">{settings.prompt || 'no prompt'}</span>
            <span className="muted">
              {settings.batchSize > 1 && `${settings.batchSize} × `}
              {settings.steps} steps
            </span>
            <button
              type="button"
              className="quiet icon-only"
              aria-label={`Remove ${settings.prompt || 'the job'} from the queue`}
              onClick={() => studio.waiting.remove(id)}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
