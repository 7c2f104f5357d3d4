/** The page's head: the views, and where pictures are made. On phones the views are at the bottom. */

import { studio, useStudio, type View } from '../studio.ts';
import { Icon, type IconName, Mark } from './icons.tsx';
import { ThemeButton } from './theme-button.tsx';

const entries: readonly (readonly [view: View, label: string, icon: IconName])[] = [
  ['create', 'Create', 'brush'],
  ['gallery', 'Gallery', 'picture'],
  ['grid', 'Grid', 'grid'],
  ['workflow', 'Workflow', 'workflow'],
  ['compare', 'Compare', 'compare'],
];

export function Header() {
  const { view, engine, connecting, history } = useStudio();
  const [place, detail] = (engine?.title ?? 'Not connected').split(' · ');
  return (
    <header className="header">
      <div className="brand">
        <Mark /> <span>Stable Diffusion</span>
      </div>
      <nav className="views" aria-label="Views">
        {entries.map(([name, label, icon]) => (
          <a key={name} href={`#${name}`} aria-current={view === name ? 'page' : undefined}>
            <Icon name={icon} />
            <span>{label}</span>
            {name === 'gallery' && history.length > 0 && (
              <span
                className="count"
                aria-label={history.length === 1 ? '1 picture' : `${history.length} pictures`}
                role="img"
              >
                {history.length}
              </span>
            )}
          </a>
        ))}
      </nav>
      <div className="header-end">
        <button
          type="button"
          className="engine"
          aria-haspopup="dialog"
          aria-label={`Where pictures are made: ${connecting ? 'connecting' : (engine?.title ?? 'nowhere')}`}
          onClick={() => studio.set({ dialog: 'engine' })}
        >
          <span className="dot" data-state={connecting ? 'connecting' : engine ? 'ready' : 'none'} aria-hidden="true" />
          <span className="engine-title">
            {connecting ? 'Connecting' : place}
            {!connecting && detail && <span className="engine-detail"> · {detail}</span>}
          </span>
        </button>
        <ThemeButton />
        <button
          type="button"
          className="quiet icon-only keyboard-button"
          aria-label="Keyboard shortcuts"
          title="Keyboard shortcuts (?)"
          onClick={() => studio.set({ dialog: 'shortcuts' })}
        >
          <Icon name="keyboard" />
        </button>
      </div>
    </header>
  );
}
