/** The model that was chosen last, by its name, kept from visit to visit. */

const key = 'model';

export function rememberedModel(): string {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

export function rememberModel(name: string): void {
  try {
    localStorage.setItem(key, name);
  } catch {
    // It holds for this visit.
  }
}
