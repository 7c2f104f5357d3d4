/** Light, dark, or as the system is. Colours follow CSS's `color-scheme`, which this sets. */

export type Theme = 'system' | 'light' | 'dark';

export const themes: readonly (readonly [theme: Theme, label: string])[] = [
  ['system', 'as the system'],
  ['light', 'light'],
  ['dark', 'dark'],
];

const key = 'theme';

export function rememberedTheme(): Theme {
  try {
    return themes.find(([name]) => name === localStorage.getItem(key))?.[0] ?? 'system';
  } catch {
    return 'system';
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function rememberTheme(theme: Theme): void {
  applyTheme(theme);
  try {
    localStorage.setItem(key, theme);
  } catch {
    // It holds for this visit.
  }
}
