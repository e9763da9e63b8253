/** A size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A rectangle of pixels. */
export interface Box extends Size {
  readonly left: number;
  readonly top: number;
}

/** A result's size and the box of the subject in it; a box without pixels if there is no subject. */
export interface Layout extends Size {
  readonly foreground: Box;
}
