/* SPDX-License-Identifier: Apache-2.0 */
/* The store's schema, its migrations and every SQL statement of the product, by id. STATEMENTS(X): X(ID, "sql"). Engine statements (runs, events, plans) stand here
 * too, so that one look shows all that is ever asked of the database. */
#ifndef WF_CACHE_STATEMENTS_H
#define WF_CACHE_STATEMENTS_H

#include "base/db.h"

#include <stddef.h>

#define STORE_FORMAT 1
#define STORE_APPLICATION_ID 0x77666462 /* "wfdb" */

/* One step from format n-1 to n: what the user is told, and the SQL. */
struct migration {
    int format;
    const char *sentence;
    const char *sql;
};
extern const struct migration store_migrations[];
extern const size_t store_migration_count;

enum statement {
#define X(id, sql) SQL_##id,
#include "cache/statements.def"
#undef X
    SQL_COUNT
};
extern const struct db_statement store_statements[SQL_COUNT];

#endif
