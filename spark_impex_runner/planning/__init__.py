"""What a run will do, before anything is sent that a tenant keeps."""
