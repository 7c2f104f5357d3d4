/** Registers the service worker, which keeps the page for offline use and isolates it where its host sends no such headers. */

import { studio } from '../studio.ts';

const reloaded = 'reloaded-for-isolation';

/** Threads in WASM need an isolated page; once the service worker adds the headers, one reload gives them. */
function isolate(): void {
  if (crossOriginIsolated || sessionStorage.getItem(reloaded)) return;
  sessionStorage.setItem(reloaded, 'yes');
  location.reload();
}

function offerUpdate(waiting: ServiceWorker): void {
  studio.set({
    notice: {
      kind: 'info',
      text: 'There is a newer version of this page.',
      action: {
        label: 'Reload',
        run: () => {
          navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
          waiting.postMessage('activate');
        },
      },
    },
  });
}

export async function keepForOffline(): Promise<void> {
  if (import.meta.env.DEV || !('serviceWorker' in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register('./service-worker.js');
    registration.addEventListener('updatefound', () => {
      const { installing } = registration;
      installing?.addEventListener(
        'statechange',
        () => installing.state === 'installed' && navigator.serviceWorker.controller && offerUpdate(installing),
      );
    });
    await navigator.serviceWorker.ready;
    if (navigator.serviceWorker.controller) isolate();
    else navigator.serviceWorker.addEventListener('controllerchange', isolate, { once: true });
  } catch {
    // Not a secure address, or not allowed: the page works, with a network.
  }
}
