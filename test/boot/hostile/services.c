/* SPDX-License-Identifier: MIT */
/*
 * test/boot/hostile/services.c - services that fail, lie, crash or are not there
 *
 * Once ExitBootServices has been called, even in vain, nothing but it and GetMemoryMap may be used: every
 * other function of Octavo's copy then reports the violation.
 */
#include "test/boot/hostile/hostile.h"

#include "core/str.h"

static EFI_GUID acpi_20 = ACPI_20_TABLE_GUID, acpi_10 = ACPI_TABLE_GUID;
static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

static bool same_guid(const EFI_GUID *a, const EFI_GUID *b) { return memcmp(a, b, sizeof *a) == 0; }

/* ---- the exit -------------------------------------------------------------------------------- */

static unsigned refused;
static bool called, watchdog_off;

bool exit_was_called(void) { return called; }

static EFI_STATUS EFIAPI set_watchdog_timer(UINTN timeout, UINT64 code, UINTN n_bytes, CHAR16 *data)
{
    watchdog_off = timeout == 0;
    return h.real->BootServices->SetWatchdogTimer(timeout, code, n_bytes, data);
}

static EFI_STATUS EFIAPI forbidden(void)
{
    hostile_say("VIOLATION: a boot service was used after a call of ExitBootServices");
    return EFI_UNSUPPORTED;
}

/* Every function of a table from its first to its end */
static void forbid(void *table, UINTN header_bytes, UINTN bytes)
{
    void **function = (void **)((unsigned char *)table + header_bytes);

    for (UINTN i = 0; i < (bytes - header_bytes) / sizeof *function; i++)
        function[i] = (void *)forbidden;
}

static void forbid_services(void)
{
    static SIMPLE_TEXT_OUTPUT_INTERFACE out;
    static SIMPLE_INPUT_INTERFACE in;
    EFI_GET_MEMORY_MAP get_memory_map = h.bs->GetMemoryMap;
    EFI_EXIT_BOOT_SERVICES exit_boot_services = h.bs->ExitBootServices;

    forbid(&out, 0, sizeof out);
    forbid(&in, 0, sizeof in);
    h.st->ConOut = h.st->StdErr = &out;
    h.st->ConIn = &in;
    forbid(h.bs, sizeof h.bs->Hdr, sizeof *h.bs);
    h.bs->GetMemoryMap = get_memory_map;
    h.bs->ExitBootServices = exit_boot_services;
}

static EFI_STATUS EFIAPI exit_boot_services(EFI_HANDLE image, UINTN key)
{
    EFI_STATUS status;

    if (!watchdog_off)
        hostile_say("VIOLATION: the watchdog is still running");
    called = true;
    forbid_services();
    if (refused < h.is->refusals) {
        refused++;
        return EFI_INVALID_PARAMETER;
    }
    status = h.real->BootServices->ExitBootServices(image, key);
    if (EFI_ERROR(status))
        return status;
    hostile_say("ExitBootServices done, after %u refusals", refused);
    if (h.is->exited != NULL)
        h.is->exited();
    return status;
}

void exit_start(void)
{
    h.bs->ExitBootServices = exit_boot_services;
    h.bs->SetWatchdogTimer = set_watchdog_timer;
}

/* ---- protocols ------------------------------------------------------------------------------- */

static const EFI_GUID *replaced;
static void *replacement;
static EFI_HANDLE replaced_on;

static bool is_replaced(EFI_HANDLE handle, const EFI_GUID *guid)
{
    return same_guid(guid, replaced) && (replaced_on == NULL || replaced_on == handle);
}

static EFI_STATUS EFIAPI handle_protocol(EFI_HANDLE handle, EFI_GUID *guid, void **out)
{
    EFI_STATUS status = h.real->BootServices->HandleProtocol(handle, guid, out);

    if (EFI_ERROR(status) || !is_replaced(handle, guid))
        return status;
    *out = replacement;
    return replacement != NULL ? EFI_SUCCESS : EFI_UNSUPPORTED;
}

static EFI_STATUS EFIAPI open_protocol(EFI_HANDLE handle, EFI_GUID *guid, void **out, EFI_HANDLE agent,
                                       EFI_HANDLE controller, UINT32 attributes)
{
    EFI_STATUS status = h.real->BootServices->OpenProtocol(handle, guid, out, agent, controller, attributes);

    if (EFI_ERROR(status) || !is_replaced(handle, guid))
        return status;
    *out = replacement;
    return replacement != NULL ? EFI_SUCCESS : EFI_UNSUPPORTED;
}

static EFI_STATUS EFIAPI locate_protocol(EFI_GUID *guid, void *registration, void **out)
{
    if (!is_replaced(NULL, guid))
        return h.real->BootServices->LocateProtocol(guid, registration, out);
    *out = replacement;
    return replacement != NULL ? EFI_SUCCESS : EFI_NOT_FOUND;
}

static EFI_STATUS EFIAPI locate_handle(EFI_LOCATE_SEARCH_TYPE how, EFI_GUID *guid, void *key, UINTN *n_bytes,
                                       EFI_HANDLE *out)
{
    if (how == ByProtocol && same_guid(guid, replaced) && replacement == NULL)
        return EFI_NOT_FOUND;
    return h.real->BootServices->LocateHandle(how, guid, key, n_bytes, out);
}

static EFI_STATUS EFIAPI locate_handle_buffer(EFI_LOCATE_SEARCH_TYPE how, EFI_GUID *guid, void *key, UINTN *n,
                                              EFI_HANDLE **out)
{
    if (how == ByProtocol && same_guid(guid, replaced) && replacement == NULL)
        return EFI_NOT_FOUND;
    return h.real->BootServices->LocateHandleBuffer(how, guid, key, n, out);
}

void protocol_replace(const EFI_GUID *guid, void *with, EFI_HANDLE only)
{
    replaced = guid;
    replaced_on = only;
    replacement = with;
    h.bs->HandleProtocol = handle_protocol;
    h.bs->OpenProtocol = open_protocol;
    h.bs->LocateProtocol = locate_protocol;
    h.bs->LocateHandle = locate_handle;
    h.bs->LocateHandleBuffer = locate_handle_buffer;
}

/* Without a file system the configuration comes by LoadOptions, as from the UEFI shell */
void files_missing(void)
{
    static char conf[1024];
    static CHAR16 options[2048];
    UINTN n = hostile_file(u"\\octavo.conf", conf, sizeof conf), at = 0;
    bool in_value = false;

    for (UINTN i = 0; i < n; i++) {
        if (conf[i] == '\n') {
            if (in_value)
                options[at++] = '"';
            options[at++] = ' ';
            in_value = false;
        } else {
            options[at++] = (CHAR16)conf[i];
            if (conf[i] == '=' && !in_value) {
                options[at++] = '"';
                in_value = true;
            }
        }
    }
    h.octavo->LoadOptions = options;
    h.octavo->LoadOptionsSize = (UINT32)((at + 1) * sizeof *options);
    protocol_replace(&file_system_guid, NULL, NULL);
}

/* ---- memory and the console ------------------------------------------------------------------ */

static EFI_STATUS EFIAPI allocate_none(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN pages,
                                       EFI_PHYSICAL_ADDRESS *at)
{
    (void)how, (void)type, (void)pages;
    *at = 0;
    return EFI_OUT_OF_RESOURCES;
}

static EFI_STATUS EFIAPI allocate_no_low(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN pages,
                                         EFI_PHYSICAL_ADDRESS *at)
{
    if (how != AllocateAnyPages && *at < MIB)
        return EFI_OUT_OF_RESOURCES;
    return h.real->BootServices->AllocatePages(how, type, pages, at);
}

/* What is asked for below 1 MiB lies at address 0, which is legal */
static EFI_STATUS EFIAPI allocate_page_zero(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN pages,
                                            EFI_PHYSICAL_ADDRESS *at)
{
    if (how != AllocateMaxAddress || *at >= MIB)
        return h.real->BootServices->AllocatePages(how, type, pages, at);
    *at = 0;
    return EFI_SUCCESS;
}

void memory_page_zero(void) { h.bs->AllocatePages = allocate_page_zero; }
void memory_none(void) { h.bs->AllocatePages = allocate_none; }
void memory_no_low(void) { h.bs->AllocatePages = allocate_no_low; }

void console_missing(void)
{
    h.st->ConOut = NULL;
    h.st->ConsoleOutHandle = NULL;
    h.st->StdErr = NULL;
    h.st->ConIn = NULL;
}

void vendor_missing(void) { h.st->FirmwareVendor = NULL; }

/* The loader did not clear what the file does not hold: the tails of sections (PE/COFF 4, "Section Table") */
void bss_dirty(void)
{
    unsigned char *image = h.octavo->ImageBase;
    unsigned char *pe = image + *(UINT32 *)(image + 0x3C);
    unsigned n_sections = *(UINT16 *)(pe + 6);
    unsigned char *section = pe + 24 + *(UINT16 *)(pe + 20);

    for (; n_sections-- > 0; section += 40) {
        UINT32 size = *(UINT32 *)(section + 8), start = *(UINT32 *)(section + 12),
               in_file = *(UINT32 *)(section + 16);

        if (size > in_file)
            memset(image + start + in_file, 0xAA, size - in_file);
    }
}

/* ---- runtime services ------------------------------------------------------------------------ */

void runtime_missing(void) { h.st->RuntimeServices = NULL; }

/* All functions become this code, which lies in runtime memory as theirs do */
static void runtime_become(const unsigned char *code, UINTN n_bytes)
{
    unsigned char *page = hostile_pages(1, EfiRuntimeServicesCode, 1);
    void **function = (void **)(&h.rt->Hdr + 1);

    memcpy(page, code, n_bytes);
    for (UINTN i = 0; i < (sizeof *h.rt - sizeof h.rt->Hdr) / sizeof *function; i++)
        function[i] = page;
}

void runtime_unsupported(void)
{
    static const unsigned char code[] = {
        0x48, 0xB8, 0x03, 0, 0, 0, 0, 0, 0, 0x80, 0xC3
    }; /* mov rax, 1<<63 | 3; ret */

    runtime_become(code, sizeof code);
}

void runtime_crashing(void)
{
    static const unsigned char code[] = { 0x0F, 0x0B }; /* ud2 */

    runtime_become(code, sizeof code);
}

/* ---- ACPI ------------------------------------------------------------------------------------ */

static bool is_acpi(const EFI_CONFIGURATION_TABLE *t)
{
    return same_guid(&t->VendorGuid, &acpi_20) || same_guid(&t->VendorGuid, &acpi_10);
}

/* Octavo's own copy of the list of tables */
static void copy_configuration(void)
{
    UINTN n_bytes = h.real->NumberOfTableEntries * sizeof(EFI_CONFIGURATION_TABLE);
    EFI_CONFIGURATION_TABLE *copy =
        hostile_pages((n_bytes + EFI_PAGE_SIZE - 1) / EFI_PAGE_SIZE, EfiRuntimeServicesData, 1);

    memcpy(copy, h.real->ConfigurationTable, n_bytes);
    h.st->ConfigurationTable = copy;
}

void acpi_missing(void)
{
    UINTN n = 0;

    copy_configuration();
    for (UINTN i = 0; i < h.real->NumberOfTableEntries; i++)
        if (!is_acpi(&h.real->ConfigurationTable[i]))
            h.st->ConfigurationTable[n++] = h.real->ConfigurationTable[i];
    h.st->NumberOfTableEntries = n;
}

/* A root pointer whose checksum is wrong and whose tables lie where no memory is */
void acpi_broken(void)
{
    unsigned char *rsdp = hostile_pages(1, EfiACPIReclaimMemory, 1);

    copy_configuration();
    for (UINTN i = 0; i < h.st->NumberOfTableEntries; i++)
        if (is_acpi(&h.st->ConfigurationTable[i])) {
            memcpy(rsdp, h.st->ConfigurationTable[i].VendorTable, 36);
            memset(rsdp + 16, 0xF7, 4); /* RsdtAddress */
            memset(rsdp + 24, 0x77, 8); /* XsdtAddress */
            h.st->ConfigurationTable[i].VendorTable = rsdp;
        }
}
