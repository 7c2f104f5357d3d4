/** The page: its header, the view that is open, and what lies over both. */

import { useEffect } from 'react';
import { AdaptersDialog } from '../create/adapters-dialog.tsx';
import { StylesDialog } from '../create/styles-dialog.tsx';
import { CompareView } from '../compare/compare-view.tsx';
import { CreateView } from '../create/create-view.tsx';
import { GalleryView } from '../gallery/gallery-view.tsx';
import { GridView } from '../grid/grid-view.tsx';
import { useStudio, type View } from '../studio.ts';
import { WorkflowView } from '../workflow/workflow-view.tsx';
import { DropZone } from './drop-zone.tsx';
import { DroppedPicture } from './dropped-picture.tsx';
import { EngineDialog } from './engine-dialog.tsx';
import { Header } from './header.tsx';
import { NoticeBar } from './notice-bar.tsx';
import { listenForShortcuts } from './shortcuts.ts';
import { ShortcutsDialog } from './shortcuts-dialog.tsx';
import { followAddress } from './view-address.ts';

const views: { readonly [K in View]: () => React.ReactNode } = {
  create: CreateView,
  gallery: GalleryView,
  compare: CompareView,
  grid: GridView,
  workflow: WorkflowView,
};

/** The title of the tab: progress of the picture. */
function useTitle(): void {
  const { run } = useStudio();
  const percent = run && run.total > 0 ? `${Math.round((run.done / run.total) * 100)} % · ` : run ? '… · ' : '';
  useEffect(() => {
    document.title = `${percent}Stable Diffusion`;
  }, [percent]);
}

export function App() {
  const { view } = useStudio();
  useTitle();
  useEffect(() => listenForShortcuts(), []);
  useEffect(() => followAddress(), []);
  const Current = views[view];
  return (
    <DropZone>
      <button type="button" className="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <Header />
      <main id="main" tabIndex={-1} data-view={view}>
        <Current />
      </main>
      <NoticeBar />
      <DroppedPicture />
      <EngineDialog />
      <AdaptersDialog />
      <StylesDialog />
      <ShortcutsDialog />
    </DropZone>
  );
}
