/** The view in the page's address (`#gallery`), so that it can be linked to and the browser's own Back works. */

import { studio, type View, views } from '../studio.ts';

function viewInAddress(): View {
  const name = location.hash.slice(1);
  return views.find((view) => view === name) ?? 'create';
}

/** Keeps both in step; returns how to stop that. */
export function followAddress(): () => void {
  const fromAddress = (): void => {
    if (studio.state.view !== viewInAddress()) studio.set({ view: viewInAddress() });
  };
  const toAddress = (): void => {
    const { view } = studio.state;
    if (view !== viewInAddress()) history.pushState(null, '', `#${view}`);
  };
  fromAddress();
  addEventListener('popstate', fromAddress);
  const unsubscribe = studio.subscribe(toAddress);
  return () => {
    removeEventListener('popstate', fromAddress);
    unsubscribe();
  };
}
