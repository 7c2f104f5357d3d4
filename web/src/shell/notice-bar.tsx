/** One line at the bottom: what has happened, and what can be done about it. */

import { useEffect } from 'react';
import { studio, useStudio } from '../studio.ts';
import { Icon } from './icons.tsx';

const milliseconds = 9000;

export function NoticeBar() {
  const { notice } = useStudio();
  useEffect(() => {
    if (!notice || notice.kind === 'error') return;
    const timer = setTimeout(() => studio.state.notice === notice && studio.set({ notice: undefined }), milliseconds);
    return () => clearTimeout(timer);
  }, [notice]);
  return (
    <div className="notices" aria-live={notice?.kind === 'error' ? 'assertive' : 'polite'}>
      {notice && (
        <div className="notice" data-kind={notice.kind}>
          <p>{notice.text}</p>
          {notice.action && (
            <button
              type="button"
              className="quiet"
              onClick={() => {
                studio.set({ notice: undefined });
                notice.action?.run();
              }}
            >
              {notice.action.label}
            </button>
          )}
          <button
            type="button"
            className="quiet icon-only"
            aria-label="Dismiss"
            onClick={() => studio.set({ notice: undefined })}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}
