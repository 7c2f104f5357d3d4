/** A picture that is there while it is on the screen or near it: long lists hold few of them. */

import { useEffect, useRef, useState } from 'react';
import { urlOf } from '../history/picture-database.ts';

/** Pixels around the screen. */
const margin = '600px';

export interface LazyImageProps {
  /** The picture, or its address. Called again each time it comes near. */
  readonly load: () => Promise<Blob | string>;
  readonly alt?: string;
}

export function LazyImage({ load, alt = '' }: LazyImageProps) {
  const place = useRef<HTMLSpanElement>(null);
  const [near, setNear] = useState(false);
  const [url, setUrl] = useState<string>();
  const loader = useRef(load);
  loader.current = load;
  useEffect(() => {
    const { current } = place;
    if (!current) return;
    const observer = new IntersectionObserver((entries) => setNear(entries.at(-1)?.isIntersecting ?? false), {
      rootMargin: margin,
    });
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!near) return setUrl(undefined);
    let current = true;
    loader.current().then(
      (file) => current && setUrl(typeof file === 'string' ? file : urlOf(file)),
      () => {},
    );
    return () => {
      current = false;
    };
  }, [near]);
  return (
    <span ref={place} className="lazy">
      {url !== undefined && <img src={url} alt={alt} decoding="async" />}
    </span>
  );
}
