/** A UUID in its text form (RFC 9562, section 4). */
export const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;
