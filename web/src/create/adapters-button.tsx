/** Opens the list of LoRAs and textual inversions. */

import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';

export function AdaptersButton() {
  const { engine } = useStudio();
  // A model that reads no weights in prompts names no LoRAs there either.
  if (!engine?.adapters || studio.promptSyntax() !== 'a1111') return null;
  return (
    <button
      type="button"
      className="quiet adapters-button"
      aria-haspopup="dialog"
      aria-label="LoRAs and embeddings"
      title="LoRAs and embeddings"
      onClick={() => studio.set({ dialog: 'adapters' })}
    >
      <Icon name="layers" />
      <span>LoRAs</span>
    </button>
  );
}
