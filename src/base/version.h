/* base/version.h - the one place that says which Forebay this is. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define FOREBAY_VERSION "0.1.0"

#endif
