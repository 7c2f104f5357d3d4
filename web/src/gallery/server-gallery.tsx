/** The pictures in the server's output folder, newest first; more come as one scrolls. One that is opened is fetched whole, with its settings. */

import { useCallback, useEffect, useRef, useState } from 'react';
import type { ServerPicture } from '../engines/picture-engine.ts';
import { Icon } from '../shell/icons.tsx';
import { LazyImage } from '../shell/lazy-image.tsx';
import { studio, useStudio } from '../studio.ts';

interface Pages {
  readonly pictures: readonly ServerPicture[];
  readonly next?: string;
  readonly isKept: boolean;
}

function usePages(): { readonly pages: Pages | undefined; readonly more: () => void } {
  const { engine, made } = useStudio();
  const [pages, setPages] = useState<Pages>();
  const asking = useRef(false);
  const ask = useCallback(
    async (before?: string): Promise<void> => {
      if (!engine?.gallery || asking.current) return;
      asking.current = true;
      try {
        const found = await engine.gallery(before);
        setPages((known) =>
          before === undefined || !known ? found : { ...found, pictures: [...known.pictures, ...found.pictures] },
        );
      } catch (error) {
        studio.fail((error as Error).message);
      } finally {
        asking.current = false;
      }
    },
    [engine],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: a picture that was just made lies there too
  useEffect(() => void ask(), [ask, made]);
  return { pages, more: () => void ask(pages?.next) };
}

async function open({ name, whole }: ServerPicture): Promise<void> {
  try {
    const file = await whole();
    studio.set({ dropped: new File([file], name.split('/').at(-1) ?? name, { type: file.type }) });
  } catch (error) {
    studio.fail((error as Error).message);
  }
}

/** Asks for more when it comes near the screen. */
function More({ onNear }: { readonly onNear: () => void }) {
  const place = useRef<HTMLButtonElement>(null);
  const near = useRef(onNear);
  near.current = onNear;
  useEffect(() => {
    const { current } = place;
    if (!current) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) near.current();
      },
      { rootMargin: '800px' },
    );
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  return (
    <button ref={place} type="button" className="quiet more-pictures" onClick={onNear}>
      Show more
    </button>
  );
}

export function ServerGallery() {
  const { pages, more } = usePages();
  if (!pages) return <p className="muted nothing-found">Asking for them …</p>;
  if (pages.pictures.length === 0)
    return (
      <div className="invitation">
        <Icon name="picture" />
        <h2>{pages.isKept ? 'The server has no pictures yet.' : 'This server keeps no pictures in a folder.'}</h2>
        {!pages.isKept && <p>Start it with a folder for them: sd serve --outdir outputs.</p>}
      </div>
    );
  const days = new Map<string, ServerPicture[]>();
  for (const picture of pages.pictures) {
    const [day = ''] = picture.name.split('/');
    const list = days.get(day);
    if (list) list.push(picture);
    else days.set(day, [picture]);
  }
  return (
    <>
      {[...days].map(([day, pictures]) => (
        <section key={day} aria-label={day}>
          <h2>{day}</h2>
          <ul className="thumbnails">
            {pictures.map((picture) => (
              <li key={picture.name} className="thumbnail">
                <button
                  type="button"
                  className="thumbnail-picture"
                  aria-label={`Open ${picture.name}`}
                  onClick={() => void open(picture)}
                >
                  <LazyImage load={picture.thumbnail} />
                  <span className="thumbnail-words" aria-hidden="true">
                    {picture.name.split('/')[1]}
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </section>
      ))}
      {pages.next !== undefined && <More key={pages.next} onNear={more} />}
    </>
  );
}
