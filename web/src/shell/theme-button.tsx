/** Goes from the system's colours to light to dark. */

import { useState } from 'react';
import { Icon } from './icons.tsx';
import { rememberedTheme, rememberTheme, themes } from './theme.ts';

export function ThemeButton() {
  const [theme, setTheme] = useState(rememberedTheme);
  const at = themes.findIndex(([name]) => name === theme);
  const [next] = themes[(at + 1) % themes.length] ?? ['system'];
  const label = `Colours: ${themes[at]?.[1] ?? ''}`;
  return (
    <button
      type="button"
      className="quiet icon-only"
      aria-label={label}
      title={label}
      onClick={() => {
        setTheme(next);
        rememberTheme(next);
      }}
    >
      <Icon name="invert" />
    </button>
  );
}
