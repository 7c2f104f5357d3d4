/** All pictures made in this browser, by day; searched by their words, opened one by one, or marked to be handled together. */

import { useMemo, useState } from 'react';
import { download, fileName, type Picture } from '../history/picture-database.ts';
import { thumbnailOf } from '../history/thumbnail.ts';
import { Segments } from '../settings/fields.tsx';
import { Icon } from '../shell/icons.tsx';
import { LazyImage } from '../shell/lazy-image.tsx';
import { studio, useStudio } from '../studio.ts';
import { PictureViewer } from './picture-viewer.tsx';
import { ServerGallery } from './server-gallery.tsx';

function matching(pictures: readonly Picture[], search: string): readonly Picture[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return pictures;
  return pictures.filter(({ settings, model }) => {
    const text = `${settings.prompt} ${settings.sampler} ${model} ${settings.seed}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Newest day first, as the pictures are. */
function byDay(pictures: readonly Picture[]): readonly (readonly [day: string, pictures: readonly Picture[]])[] {
  const today = new Date().toDateString();
  const days = new Map<string, Picture[]>();
  for (const picture of pictures) {
    const date = new Date(picture.createdAt);
    const day =
      date.toDateString() === today
        ? 'Today'
        : date.toLocaleDateString(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
    const list = days.get(day);
    if (list) list.push(picture);
    else days.set(day, [picture]);
  }
  return [...days];
}

function Thumbnail({
  picture,
  marked,
  marking,
  onOpen,
  onMark,
}: {
  readonly picture: Picture;
  readonly marked: boolean;
  readonly marking: boolean;
  readonly onOpen: () => void;
  readonly onMark: () => void;
}) {
  const words = picture.settings.prompt || 'no prompt';
  return (
    <li className="thumbnail" data-marked={marked}>
      <button
        type="button"
        className="thumbnail-picture"
        aria-label={`Open ${words}, seed ${picture.settings.seed}`}
        onClick={marking ? onMark : onOpen}
      >
        <LazyImage load={() => thumbnailOf(picture.file)} />
        <span className="thumbnail-words" aria-hidden="true">
          {words}
        </span>
      </button>
      <label className="mark-box">
        <input
          type="checkbox"
          checked={marked}
          onChange={onMark}
          aria-label={`Mark ${words}, seed ${picture.settings.seed}`}
        />
        <Icon name="check" />
      </label>
    </li>
  );
}

function MarkedBar({ pictures, onClear }: { readonly pictures: readonly Picture[]; readonly onClear: () => void }) {
  const [a, b] = pictures;
  return (
    <div className="marked-bar" role="toolbar" aria-label="Marked pictures">
      <strong>{pictures.length} marked</strong>
      {pictures.length === 2 && a && b && (
        <button type="button" className="quiet" onClick={() => studio.set({ compared: [a.id, b.id], view: 'compare' })}>
          <Icon name="compare" /> Compare
        </button>
      )}
      <button
        type="button"
        className="quiet"
        onClick={() => {
          for (const picture of pictures) download(picture.file, fileName(picture));
        }}
      >
        <Icon name="download" /> Save
      </button>
      <button
        type="button"
        className="quiet"
        onClick={() => {
          void studio.pictures.remove(pictures.map(({ id }) => id));
          onClear();
        }}
      >
        <Icon name="trash" /> Delete
      </button>
      <button type="button" className="quiet icon-only" aria-label="Mark none" onClick={onClear}>
        <Icon name="close" />
      </button>
    </div>
  );
}

function Nothing({ loaded }: { readonly loaded: boolean }) {
  if (!loaded) return null;
  return (
    <div className="invitation">
      <Icon name="picture" />
      <h2>Your pictures will be here.</h2>
      <p>They are kept in this browser, and nowhere else. Drop a picture in to read its settings.</p>
      <button type="button" onClick={() => studio.set({ view: 'create' })}>
        Make one
      </button>
    </div>
  );
}

type Where = 'browser' | 'server';

/** The pictures of this browser, or those in the server's folder if the server has one. */
export function GalleryView() {
  const { engine } = useStudio();
  const [where, setWhere] = useState<Where>('browser');
  const hasBoth = engine?.gallery !== undefined;
  return (
    <div className="gallery">
      <h1 className="visually-hidden">Gallery</h1>
      {hasBoth && (
        <Segments<Where>
          legend="Whose pictures"
          name="where"
          value={where}
          options={[
            ['browser', 'This browser'],
            ['server', 'The server'],
          ]}
          onChange={setWhere}
        />
      )}
      {hasBoth && where === 'server' ? <ServerGallery /> : <OwnGallery />}
    </div>
  );
}

function OwnGallery() {
  const { history, historyLoaded } = useStudio();
  const [search, setSearch] = useState('');
  const [opened, setOpened] = useState<string>();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const shown = useMemo(() => matching(history, search), [history, search]);
  const markedPictures = history.filter(({ id }) => marked.has(id));
  const mark = (id: string): void => {
    const next = new Set(marked);
    if (!next.delete(id)) next.add(id);
    setMarked(next);
  };
  return (
    <>
      {history.length === 0 ? (
        <Nothing loaded={historyLoaded} />
      ) : (
        <label className="search">
          <Icon name="search" />
          <input
            type="search"
            aria-label="Search your pictures"
            placeholder="Search your pictures"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        </label>
      )}
      {byDay(shown).map(([day, pictures]) => (
        <section key={day} aria-label={day}>
          <h2>{day}</h2>
          <ul className="thumbnails">
            {pictures.map((picture) => (
              <Thumbnail
                key={picture.id}
                picture={picture}
                marked={marked.has(picture.id)}
                marking={markedPictures.length > 0}
                onOpen={() => setOpened(picture.id)}
                onMark={() => mark(picture.id)}
              />
            ))}
          </ul>
        </section>
      ))}
      {history.length > 0 && shown.length === 0 && <p className="muted nothing-found">No picture has these words.</p>}
      {markedPictures.length > 0 && <MarkedBar pictures={markedPictures} onClear={() => setMarked(new Set())} />}
      <PictureViewer pictures={shown} opened={opened} onOpen={setOpened} />
    </>
  );
}
